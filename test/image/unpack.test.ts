/**
 * Protects what a layer's tar stream becomes: every form of every attribute as the archive has it, whiteouts in the
 * union's form wherever they stand. GNU tar and umoci are the oracles where they understand the form.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { assert } from 'chai';
import fc from 'fast-check';
import { describeTree, diffTrees, type Entry, type Tree } from '../support/acceptance/tree.js';
import { archive, entry } from '../support/image/archive.js';
import { FORMS, SPARSE, SPARSE_SIZE, sparseContents, WHITEOUTS } from '../support/image/forms.js';
import { escaped, grow, plans } from '../support/image/random-tree.js';
import { unpackInto, useScratch } from '../support/image/scratch.js';
import { run } from '../support/run.js';

const describeEntry = (tree: Tree, path: string): Entry => tree.get(path) ?? assert.fail(`no "${path}"`);

/** Unpacks its standard input and prints how much was left out: a process of its own, to be without privilege. */
const UNPACK = `
const { unpackLayer } = await import(process.argv[1]);
process.stdout.write(String((await unpackLayer(process.stdin, process.argv[2])).skipped));
`;
/** cap_net_raw+ep, version 2. */
const CAPABILITY = '\x01\0\0\x02\0\x20\0\0'.padEnd(20, '\0');
const MODULE = new URL('../../runtime/image/layer/unpack.js', import.meta.url).href;

function orders<T>(items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((first, at) =>
    orders(items.filter((_, i) => i !== at)).map((rest) => [first, ...rest]),
  );
}

describe('unpack', () => {
  const scratch = useScratch();

  for (const [name, bytes, path, expected] of FORMS) {
    it(`understands ${name}`, async () => {
      for (const piece of [1 << 20, 77]) {
        const tree = describeTree(await scratch.unpack(bytes(), piece));
        assert.include(describeEntry(tree, path), expected);
      }
    });
  }

  for (const [name, entries, path, expected] of WHITEOUTS) {
    it(`${name}, in whatever order`, async () => {
      for (const ordered of orders(entries)) {
        const tree = describeTree(await scratch.unpack(archive(...ordered)));
        assert.include(describeEntry(tree, path), expected, JSON.stringify(ordered));
        assert.isEmpty([...tree.keys()].filter((key) => key.includes('.wh.')));
      }
    });
  }

  /** Entries, and what podman 4.3 makes of them: "->" names a symlink's target, "/" ends a directory. */
  const THROUGH_LINKS: readonly (readonly [name: string, entries: string, tree: string])[] = [
    [
      'files and directories, made or implied',
      'usr/ usr/lib/ lib->usr/lib lib/x lib/sub/ lib/sub/y lib/deep/er/z',
      'lib->usr/lib usr/ usr/lib/ usr/lib/deep/ usr/lib/deep/er/ usr/lib/deep/er/z usr/lib/sub/ usr/lib/sub/y usr/lib/x',
    ],
    ['an absolute one', 'usr/ usr/lib/ lib->/usr/lib lib/x', 'lib->/usr/lib usr/ usr/lib/ usr/lib/x'],
    ['one that goes up', 'usr/ a/ a/lib->../usr a/lib/x', 'a/ a/lib->../usr usr/ usr/x'],
    ['one that goes up too far', 'usr/ up->../../usr up/x', 'up->../../usr usr/ usr/x'],
    ['a chain', 'usr/ usr/lib/ k->usr l->k/lib l/x', 'k->usr l->k/lib usr/ usr/lib/ usr/lib/x'],
    ['a symlink', 'usr/ l->usr l/s->old', 'l->usr usr/ usr/s->old'],
    ['a directory in place of the link', 'usr/ l->usr l/ l/x', 'l/ l/x usr/'],
    // podman refuses what leads to nothing in the layer; the directory may well be in one below
    ['one that leads to nothing here', 'lib->usr/lib lib/x', 'lib->usr/lib usr/ usr/lib/ usr/lib/x'],
  ];
  for (const [name, entries, tree] of THROUGH_LINKS) {
    it(`follows symlinks of the layer inside its root: ${name}`, async () => {
      const fields = entries.split(' ').map((word) => {
        const [path = '', linkName] = word.split('->');
        if (linkName !== undefined) return { name: path, flag: '2', linkName };
        return path.endsWith('/') ? { name: path, flag: '5', mode: 0o755 } : { name: path, data: path };
      });
      const found = describeTree(await scratch.unpack(archive(...fields)));
      const words = [...found].map(([path, { type, target }]) =>
        type === 'symlink' ? `${path}->${target}` : `${path}${type === 'directory' ? '/' : ''}`,
      );
      assert.deepEqual(words.slice(1).sort(), tree.split(' ').sort());
    });
  }

  it('follows no symlink of a layer below: the directory that an entry implies takes its place', async () => {
    const root = await scratch.unpack(archive({ name: 'lib/x', data: 'x' }));
    assert.deepEqual([...describeTree(root).keys()], ['.', 'lib', 'lib/x']);
  });

  it('leaves access control lists of archives out, as docker and podman do', async () => {
    const pax = {
      'SCHILY.acl.access': 'user::rw-,user:1:rwx,group::r--,mask::rwx,other::r--',
      'SCHILY.acl.default': 'user::rwx,user:1:rwx,group::r-x,mask::rwx,other::r-x',
    };
    const tree = describeTree(await scratch.unpack(archive({ name: 'd', flag: '5', mode: 0o755, pax })));
    assert.isEmpty(Object.keys(describeEntry(tree, 'd')).filter((field) => field.startsWith('xattr')));

    const acl =
      '\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x07\0\x01\0\0\0\x04\0\x04\0\xff\xff\xff\xff\x10\0\x07\0\xff\xff\xff\xff\x20\0\x04\0\xff\xff\xff\xff';
    const kept = { 'SCHILY.xattr.system.posix_acl_access': acl };
    const other = describeTree(await scratch.unpack(archive({ name: 'f', mode: 0o674, pax: kept })));
    assert.property(describeEntry(other, 'f'), 'xattr system.posix_acl_access');
  });

  it('leaves out what aufs kept for itself', async () => {
    const bytes = archive(
      { name: '.wh..wh.aufs' },
      { name: '.wh..wh.plnk', flag: '5' },
      { name: '.wh..wh.plnk/1.2', data: 'x' },
    );
    assert.deepEqual([...describeTree(await scratch.unpack(bytes)).keys()], ['.']);
  });

  for (const [name, bytes] of SPARSE) {
    it(`keeps the holes of sparse files: ${name}`, async () => {
      for (const piece of [1 << 20, 333]) {
        const root = await scratch.unpack(bytes(), piece);
        assert.deepEqual([...describeTree(root).keys()], ['.', 'f']);
        checkSparse(`${root}/f`);
      }
    });
  }

  for (const format of ['gnu', 'oldgnu', '0.0', '0.1', '1.0']) {
    it(`keeps the holes of sparse files that GNU tar wrote: ${format}`, async () => {
      const source = scratch.fresh('sparse');
      writeFileSync(`${source}/f`, '');
      run('python3', [
        '-c',
        `
import os
f = os.open("${source}/f", os.O_WRONLY)
os.truncate(f, ${SPARSE_SIZE})
for i in range(60): os.pwrite(f, (str(i).ljust(700, "x")).encode(), i * 100000)
`,
      ]);
      writeFileSync(`${source}/g`, 'behind it');
      run('truncate', ['-s', '1000000', `${source}/hole`]);
      run('touch', ['-d', '@1700000000', `${source}/f`, `${source}/g`, `${source}/hole`, source]);
      const options = format.includes('.')
        ? ['--format=pax', `--sparse-version=${format}`]
        : [`--format=${format}`];
      run('tar', ['-S', ...options, '-cf', scratch.path(`${format}.tar`), '-C', source, '.']);
      const bytes = spawnSync('cat', [scratch.path(`${format}.tar`)], { maxBuffer: 1 << 26 }).stdout;
      for (const piece of [1 << 20, 999]) {
        const root = await scratch.unpack(bytes, piece);
        checkSparse(`${root}/f`);
        assert.deepEqual(diffTrees(describeTree(source), describeTree(root)), []);
      }
    });
  }

  function checkSparse(path: string): void {
    const { size, blocks } = statSync(path);
    assert.equal(size, SPARSE_SIZE);
    assert.isBelow(blocks * 512, SPARSE_SIZE / 4, 'holes are holes');
    writeFileSync(scratch.path('expected'), sparseContents());
    run('cmp', [path, scratch.path('expected')]);
  }

  it('says how much it unpacked', async () => {
    const bytes = archive(
      { name: 'a', data: '12345' },
      { name: 'b', data: '678', pax: { 'SCHILY.xattr.user.a': 'xy' } },
    );
    assert.deepEqual(await unpackInto(scratch.fresh(), bytes), {
      entries: 2,
      bytes: 10,
      skipped: 0,
      leansOnBelow: false,
      describesRoot: false,
    });
  });

  it('refuses a directory that is not empty', async () => {
    const directory = scratch.fresh();
    mkdirSync(`${directory}/x`);
    const error = await unpackInto(directory, archive({ name: 'f' })).catch((reason: unknown) => reason);
    assert.match(String(error), /is not empty/);
  });

  it('leaves out what it may not set without privilege, and says how much', () => {
    const pax = {
      'SCHILY.xattr.user.a': 'b',
      'SCHILY.xattr.trusted.t': 'x',
      'SCHILY.xattr.security.capability': CAPABILITY,
    };
    const bytes = archive(
      { name: 'f', uid: 5, mode: 0o600, data: 'x', pax },
      { name: 'null', flag: '3', major: 1, minor: 3 },
      { name: '.wh.gone' },
      { name: 'd/.wh..wh..opq' },
    );
    const root = scratch.fresh();
    const unprivileged = [
      '--bounding-set=-all',
      '--inh-caps=-all',
      process.execPath,
      '--input-type=module',
      '-e',
      UNPACK,
    ];
    const { stdout, stderr } = spawnSync('setpriv', [...unprivileged, MODULE, root], { input: bytes });
    assert.deepEqual({ stdout: String(stdout), stderr: String(stderr) }, { stdout: '4', stderr: '' });
    const tree = describeTree(root);
    assert.deepEqual([...tree.keys()], ['.', 'd', 'f', 'gone']);
    assert.include(describeEntry(tree, 'd'), { 'xattr user.overlay.opaque': '79' });
    assert.include(describeEntry(tree, 'f'), { uid: '0', mode: '600', size: '1', 'xattr user.a': '62' });
    assert.include(describeEntry(tree, 'gone'), { type: 'character device', rdev: '0' });
  });

  it('takes an archive without its end, as the peers do', async () => {
    assert.deepEqual(
      describeEntry(describeTree(await scratch.unpack(entry({ name: 'f', data: 'x' }))), 'f').type,
      'file',
    );
  });

  it('makes of any tree that GNU tar packs what was packed', async function () {
    this.timeout(60_000);
    const check = async (inside: Parameters<typeof grow>[1], format: string): Promise<void> => {
      const source = scratch.fresh('source');
      grow(source, inside);
      const tar = scratch.path('gnu.tar');
      run('tar', [
        '--xattrs',
        '--xattrs-include=*',
        '-S',
        `--format=${format}`,
        '-cf',
        tar,
        '-C',
        source,
        '.',
      ]);
      const root = scratch.fresh('unpacked');
      await unpackInto(root, spawnSync('cat', [tar], { maxBuffer: 1 << 28 }).stdout);
      assert.deepEqual(diffTrees(escaped(describeTree(source)), describeTree(root)), []);
      run('rm', ['-rf', source, root]);
    };
    await fc.assert(fc.asyncProperty(plans, fc.constant('posix'), check), { numRuns: 60, seed: 4 });
  });
});
