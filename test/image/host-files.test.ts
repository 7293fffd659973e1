/**
 * Protects `image from-host`: a program comes with all that it needs to run, found as ld.so(8), execve(2) and the kernel's
 * path walk find it, and with every symlink on the way.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { assert } from 'chai';
import { UsageError } from '../../fs/index.js';
import { readElf } from '../../runtime/image/from-host/elf.js';
import { imageFromHost } from '../../runtime/image/from-host/from-host.js';
import { filesFor, programPath } from '../../runtime/image/from-host/host-files.js';
import { Store } from '../../runtime/image/store/store.js';
import { DT_NEEDED, DT_RUNPATH, program } from '../support/image/elf-image.js';
import { MEMORY, useScratch } from '../support/image/scratch.js';

describe('files of the host', () => {
  const scratch = useScratch(MEMORY);
  const given = process.env['PATH'];
  afterEach(() => {
    process.env['PATH'] = given;
  });

  let root: string;
  beforeEach(() => {
    root = scratch.fresh('host');
  });
  const put = (path: string, content: string | Buffer = '', mode = 0o755): string => {
    const full = `${root}/${path}`;
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, content);
    chmodSync(full, mode);
    return full;
  };
  const link = (path: string, target: string): string => {
    mkdirSync(dirname(`${root}/${path}`), { recursive: true });
    symlinkSync(target, `${root}/${path}`);
    return `${root}/${path}`;
  };
  /** What is taken of our own directory. */
  const taken = (...programs: readonly string[]): string[] =>
    [...filesFor(programs).keys()]
      .filter((path) => path.startsWith(`${root}/`))
      .map((path) => path.slice(root.length + 1));
  const elf = (word: 8 | 4, needed: readonly string[], runPath: string, loader: string): Buffer =>
    program(
      word,
      [...needed, runPath],
      (at) => [...needed.map((name): [number, number] => [DT_NEEDED, at(name)]), [DT_RUNPATH, at(runPath)]],
      loader,
    ).done();
  /** A loader that needs nothing itself. */
  const loader = (): string => put('ld.so', 'no ELF');

  describe('programs', () => {
    it('are looked up in PATH by a name without a slash, else where they are', () => {
      const second = put('b/prog');
      put('a/prog', '', 0o644);
      mkdirSync(`${root}/c/prog`, { recursive: true });
      process.env['PATH'] = `${root}/none:${root}/a:${root}/c:${root}/b`;
      assert.equal(programPath('prog'), second);
      assert.equal(programPath(second), second);
      assert.equal(programPath(`${root}/a/../b/prog`), second);
      for (const [name, why] of [
        ['other', 'was not found in PATH'],
        ['', 'was not found in PATH'],
        [`${root}/a/prog`, 'is not an executable file'],
        [`${root}/c/prog`, 'is not an executable file'],
        [`${root}/none`, 'is not an executable file'],
      ] as const)
        assert.throws(() => programPath(name), UsageError, `"${name}" ${why}`);
      delete process.env['PATH'];
      assert.throws(() => programPath('prog'), UsageError, '"prog" was not found in PATH');
    });

    const SCRIPTS: readonly [line: string, taken: readonly string[]][] = [
      ['#!ROOT/bin/int', ['bin/int']],
      ['#! \tROOT/bin/int -x', ['bin/int']],
      ['#!ROOT/bin/env tool', ['bin/env', 'bin/tool']],
      ['#!ROOT/bin/env -S tool', ['bin/env']],
      ['#!ROOT/bin/env A=1 tool', ['bin/env']],
      ['#!ROOT/bin/int tool', ['bin/int']],
      [' #!ROOT/bin/int', []],
      ['text', []],
      ['', []],
    ];
    for (const [line, needs] of SCRIPTS) {
      it(`that begin with ${JSON.stringify(line)} need ${needs.join(' and ') || 'nothing'}`, () => {
        for (const name of ['int', 'env', 'tool']) put(`bin/${name}`);
        process.env['PATH'] = `${root}/bin`;
        const script = put('script', `${line.replace('ROOT', root)}\n#!x\n`);
        assert.deepEqual(taken(script), [...(needs.length > 0 ? ['bin', ...needs] : []), 'script']);
      });
    }

    it('that need each other are taken once', () => {
      put('a', `#!${root}/b\n`);
      put('b', `#!${root}/a\n`);
      assert.deepEqual(taken(`${root}/a`), ['a', 'b']);
    });
  });

  describe('symlinks', () => {
    it('are taken with what they lead to, wherever they stand on the path', () => {
      put('real/dir/prog');
      link('to-dir', 'real/./dir');
      link('abs', `${root}/to-dir`);
      link('real/up', '../abs/prog');
      assert.deepEqual(taken(`${root}/real/up`), [
        'abs',
        'real',
        'real/dir',
        'real/dir/prog',
        'real/up',
        'to-dir',
      ]);
    });

    it('end after forty', () => {
      put('l0');
      for (let at = 1; at <= 40; at++) link(`l${at}`, `l${at - 1}`);
      assert.lengthOf(taken(`${root}/l40`), 41);
      link('sub/l', '../l40');
      assert.throws(
        () => filesFor([`${root}/sub/l`]),
        UsageError,
        /too many symlinks|is not an executable file/,
      );
    });

    it('of merged directories are taken if their target is', () => {
      const paths = [...filesFor(['/bin/sh']).keys()];
      const merged = ['/bin', '/sbin', '/lib', '/lib64'].filter((path) =>
        execFileSync('stat', ['-c', '%F', path]).toString().startsWith('symbolic'),
      );
      for (const path of merged) {
        const target = `/${execFileSync('readlink', [path]).toString().trim()}`;
        assert.equal(paths.includes(path), paths.includes(target), path);
      }
      assert.deepEqual(paths, [...paths].sort());
      assert.deepEqual(
        [...filesFor([put('x')]).keys()].filter((path) => !path.startsWith('/dev')),
        [],
      );
    });
  });

  describe('libraries', () => {
    it('are searched in the run path of who needs them, and fit its kind', () => {
      const ld = loader();
      put('wrong/libx.so', elf(4, [], '/none', ld));
      put('lib/libx.so', elf(8, ['liby.so'], '$ORIGIN/../more', ld));
      mkdirSync(`${root}/wrong/liby.so`);
      put('more/liby.so', elf(8, [], '/none', ld));
      put('last/libx.so', elf(8, [], '/none', ld));
      const prog = put(
        'bin/prog',
        elf(8, ['libx.so'], `relative:${root}/none:${root}/wrong:\${ORIGIN}/../lib:${root}/last`, ld),
      );
      assert.deepEqual(taken(prog), [
        'bin',
        'bin/prog',
        'ld.so',
        'lib',
        'lib/libx.so',
        'more',
        'more/liby.so',
      ]);
    });

    it('may be named by their path', () => {
      const ld = loader();
      put('lib/libz.so', elf(8, [], '/none', ld));
      const prog = put('bin/prog', elf(8, ['../lib/libz.so'], '/none', ld));
      assert.include(taken(prog), 'lib/libz.so');
    });

    it('that are nowhere are named', () => {
      const prog = put('prog', elf(8, ['libnot-there.so'], '/none', loader()));
      assert.throws(
        () => filesFor([prog]),
        UsageError,
        `"${prog}" needs "libnot-there.so", which was not found`,
      );
    });

    it('of the host are those that ldd finds', () => {
      for (const name of ['/bin/sh', '/usr/bin/tar']) {
        const found = execFileSync('ldd', [name]).toString();
        const libraries = [...found.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, path = '']) => path);
        const real = libraries.map((path) => execFileSync('realpath', [path]).toString().trim());
        const files = filesFor([name]);
        assert.includeMembers([...files.keys()], real);
        const libs = [...files].filter(([path, stat]) => stat.isFile() && readElf(path) !== undefined);
        assert.lengthOf(libs, new Set([...real, execFileSync('realpath', [name]).toString().trim()]).size);
      }
    });
  });

  it('become an image, with two users and a place for temporary files', async () => {
    const prog = put('bin/prog', 'content', 0o4711);
    link('bin/alias', 'prog');
    const store = Store.open(scratch.fresh('store'));
    const id = await imageFromHost(store, [`${root}/bin/alias`, prog], ['docker.io/library/host:1']);
    const image = store.find('host:1');
    assert.equal(image.id, id);
    assert.deepEqual(image.config.config, {
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      Cmd: [`${root}/bin/alias`],
    });
    assert.equal(image.config.history?.[0]?.created_by, `tscr image from-host ${root}/bin/alias ${prog}`);
    const [layer = ''] = image.layers;
    const listed = execFileSync('find', [layer, '-mindepth', '1', '-printf', '%y %m %U:%G %P->%l\n'], {
      encoding: 'utf8',
    });
    const inside = root.slice(1);
    assert.includeMembers(listed.split('\n'), [
      `f 4711 0:0 ${inside}/bin/prog->`,
      `l 777 0:0 ${inside}/bin/alias->prog`,
      `d 755 0:0 ${inside}/bin->`,
      'd 755 0:0 etc->',
      'f 644 0:0 etc/passwd->',
      'f 644 0:0 etc/group->',
      'd 700 0:0 root->',
      'd 1777 0:0 tmp->',
    ]);
    assert.equal(readFileSync(`${layer}${prog}`, 'utf8'), 'content');
    assert.equal(
      readFileSync(`${layer}/etc/passwd`, 'utf8'),
      'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n',
    );
    assert.equal(readFileSync(`${layer}/etc/group`, 'utf8'), 'root:x:0:\nnogroup:x:65534:\n');
  });
});
