/** Protects what the image commands say and do: as docker's, on images of this host's own programs. */
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { assert } from 'chai';
import type { ContainerRecord } from '../../runtime/container/records/record.js';
import { thisNode } from '../../runtime/host/node.js';
import { Store } from '../../runtime/image/store/store.js';
import { useWorkshop, type Workshop } from '../support/image/workshop.js';

const ID = 'c0ffee'.padEnd(64, '0');
const NOBODY = 65534;

/** A container that has ended, as `tscr run` would leave it; where its changes are. */
function makeContainer(shop: Workshop, image: string, store = 'store'): ContainerRecord {
  const found = Store.open(shop.path(store)).find(image);
  const directory = shop.path(store, 'containers', ID);
  const part = (name: string): string => join(directory, name);
  for (const name of ['init', 'upper', 'work', 'merged']) mkdirSync(part(name), { recursive: true });
  const record: ContainerRecord = {
    id: ID,
    name: 'box',
    image: { id: found.id, reference: image },
    created: '2024-01-01T00:00:00Z',
    command: ['/bin/cat', '/etc/passwd'],
    config: { Cmd: ['cat'], Env: ['A=1'], WorkingDir: '/srv' },
    driver: 'unionfs',
    autoRemove: false,
    node: thisNode(),
    lowers: [...found.layers].reverse(),
    init: part('init'),
    upper: part('upper'),
    work: part('work'),
    merged: part('merged'),
  };
  writeFileSync(part('container.json'), JSON.stringify(record));
  writeFileSync(part('exit.json'), JSON.stringify({ exitCode: 0, finished: '2024-01-01T00:00:01Z' }));
  return record;
}

describe('image commands', function () {
  this.timeout(120_000);
  const shop = useWorkshop();

  before(() => {
    shop.succeed(['image', 'from-host', 'bash,ls', 'cat', '-t', 'tools']);
  });

  describe('image from-host', () => {
    it('makes an image whose programs run by both their names', () => {
      const root = shop.inspect<{ GraphDriver: { Data: { UpperDir: string } } }>('tools').GraphDriver.Data
        .UpperDir;
      for (const shell of ['/bin/bash', '/usr/bin/bash']) {
        const said = shop.run('chroot', [root, shell, '-c', 'ls -d /tmp; cat /etc/group']);
        assert.match(said, /^\/tmp\nroot:x:0:\n/);
      }
      assert.equal(shop.run('stat', ['-c', '%a %u', join(root, 'tmp')]), '1777 0\n');
    });

    it('a script brings its interpreter, and symlinks stay', () => {
      shop.write('bin/real', '#!/usr/bin/env bash\necho "I am $0"\n');
      shop.run('chmod', ['755', 'bin/real']);
      symlinkSync('real', shop.path('bin/alias'));
      shop.succeed(['image', 'from-host', shop.path('bin/alias'), '-t', 'script']);
      const root = shop.succeed(['inspect', '-f', '{{.GraphDriver.Data.UpperDir}}', 'script']);
      assert.equal(shop.run('readlink', [join(root, shop.path('bin/alias'))]), 'real\n');
      const path = shop.path('bin/alias');
      assert.equal(shop.run('chroot', [root, path]), `I am ${path}\n`);
      shop.succeed(['rmi', 'script']);
    });

    it('the same programs give the same image', () => {
      const again = shop.succeed(['image', 'from-host', 'bash,ls', 'cat'], 'again');
      assert.equal(again, shop.succeed(['images', '-q', '--no-trunc', 'tools']));
    });
  });

  it('images lists what docker lists', () => {
    const [header, line] = shop.succeed(['images']).split('\n');
    assert.equal(header?.replace(/ {2,}/g, '|'), 'REPOSITORY|TAG|IMAGE ID|CREATED|SIZE');
    assert.match(line ?? '', /^tools {2,}latest {2,}[0-9a-f]{12} {2}\d+ \w+ ago {2,}[\d.]+MB$/);
    assert.match(
      shop.succeed(['images', '--format', '{{.Repository}}:{{.Tag}}\\t{{.ID}}']),
      /^tools:latest\t\w{12}$/,
    );
  });

  it('history tells the step and its cost', () => {
    const [header, line] = shop.succeed(['history', 'tools']).split('\n');
    assert.equal(header?.replace(/ {2,}/g, '|'), 'IMAGE|CREATED|CREATED BY|SIZE|COMMENT');
    assert.match(line ?? '', /^\w{12} {2}\d+ \w+ ago {2}tscr image from-host bash ls cat {2,}[\d.]+MB$/);
    const [step] = JSON.parse(shop.succeed(['history', '--json', 'tools'])) as { size: number }[];
    assert.equal(step?.size, shop.images()[0]?.Size);
  });

  describe('of a container', () => {
    let record: ContainerRecord;

    before(() => {
      record = makeContainer(shop, 'tools');
      mkdirSync(join(record.upper, 'etc'));
      writeFileSync(join(record.upper, 'etc/passwd'), 'changed\n');
      writeFileSync(join(record.upper, 'new'), 'new\n');
      shop.run('mknod', [join(record.upper, 'etc/group'), 'c', '0', '0']);
      writeFileSync(join(record.init, 'init-only'), '');
    });

    it('diff tells what was added, changed and deleted', () => {
      assert.equal(shop.succeed(['diff', 'box']), 'C /etc\nD /etc/group\nC /etc/passwd\nA /new');
    });

    it('inspect tells where its files lie', () => {
      const { Name, Image, GraphDriver } = shop.inspect<{
        Name: string;
        Image: string;
        GraphDriver: { Data: Record<string, string> };
      }>('box');
      assert.deepEqual({ Name, Image }, { Name: '/box', Image: record.image.id });
      assert.deepEqual(GraphDriver.Data, {
        LowerDir: [record.init, ...record.lowers].join(':'),
        UpperDir: record.upper,
        MergedDir: record.merged,
        WorkDir: record.work,
      });
    });

    it('commit makes one layer of the changes, the same again, without the init layer', () => {
      const change = ['-c', 'CMD ["ls"]', '-c', 'ENV B="two words"', '-c', 'EXPOSE 80', '-c', 'WORKDIR sub'];
      const args = ['commit', '-m', 'why', '-a', 'Ada', ...change, 'box'];
      const id = shop.succeed([...args, 'committed']);
      assert.equal(shop.succeed(args), id);
      const details = shop.inspect<{ Comment: string; Author: string; Config: object }>('committed');
      assert.deepInclude(details, { Comment: 'why', Author: 'Ada' });
      assert.deepEqual(details.Config, {
        Cmd: ['ls'],
        Env: ['A=1', 'B=two words'],
        WorkingDir: '/srv/sub',
        ExposedPorts: { '80/tcp': {} },
      });
      assert.equal(shop.succeed(['diff', 'committed']), 'C /etc\nD /etc/group\nC /etc/passwd\nA /new');
      const [top] = JSON.parse(shop.succeed(['history', '--json', 'committed'])) as { size: number }[];
      assert.equal(top?.size, 'changed\nnew\n'.length, 'a deletion adds nothing and frees nothing');
    });

    it('podman sees the committed image as it is meant', () => {
      shop.succeed(['save', '-o', 'committed.tar', 'committed']);
      shop.podman(['load', '-q', '-i', shop.path('committed.tar')]);
      const container = shop.podman(['create', 'committed', 'ls']).trim();
      shop.podman(['export', '-o', shop.path('podman-export.tar'), container]);
      const files = shop.run('tar', ['-tf', 'podman-export.tar']).split('\n');
      assert.includeMembers(files, ['etc/passwd', 'new']);
      assert.notInclude(files, 'etc/group');
    });

    it('the tree shows what the two images share', () => {
      const tree = shop.succeed(['images', '--tree']);
      assert.match(
        tree,
        /^layer \w{12} {2}[\d.]+MB\n├─ tools:latest .* \(shared [\d.]+MB, unique 0B\)\n└─ layer /,
      );
      assert.match(tree, /\n {3}└─ committed:latest .* \(shared [\d.]+MB, unique 12B\)$/);
    });

    it('export writes what the root shows', () => {
      shop.succeed(['export', '-o', 'export.tar', 'box']);
      const files = shop.run('tar', ['-tf', 'export.tar']).split('\n');
      const names = files.map((name) => name.replace(/^\.\//, ''));
      assert.includeMembers(names, ['new', 'etc/passwd', 'usr/bin/bash', 'init-only']);
      assert.notInclude(names, 'etc/group');
      assert.equal(shop.run('tar', ['-xOf', 'export.tar', '--wildcards', '*etc/passwd']), 'changed\n');
    });

    it('what was exported can be imported', () => {
      shop.succeed(['import', '-c', 'CMD bash', '-m', 'back', 'export.tar', 'imported:1']);
      assert.equal(
        shop.succeed(['inspect', '-f', '{{json .Config.Cmd}} {{.Comment}}', 'imported:1']),
        '["/bin/sh","-c","bash"] back',
      );
      assert.equal(shop.succeed(['rmi', 'imported:1']).split('\n').length, 3);
    });

    it('its image is not removed, its layers not even by force', () => {
      const { status, stderr } = shop.tscr(['rmi', 'tools']);
      assert.equal(status, 125);
      assert.equal(
        stderr,
        'tscr rmi: container "box" uses image "tools"; remove the container first, or use --force\n',
      );
      shop.succeed(['rmi', 'committed']);
      shop.succeed(['save', '-o', 'tools.tar', 'tools']);
      shop.succeed(['rmi', '--force', 'tools']);
      assert.lengthOf(readdirSync(shop.path('store', 'layers')), 1);
      shop.succeed(['load', '-q', '-i', 'tools.tar']);
    });

    it('df counts it, and prune removes it and images without a user', () => {
      const rows = JSON.parse(shop.succeed(['system', 'df', '--json'])) as Record<string, unknown>[];
      assert.deepInclude(rows[0], { type: 'Images', active: 1, reclaimable: 0 });
      assert.deepInclude(rows[1], { type: 'Containers', total: 1, active: 0 });
      assert.match(
        shop.succeed(['system', 'prune', '-f']),
        /^Deleted: c0ffee0+\nTotal reclaimed space: [\d.]+kB$/,
      );
      assert.lengthOf(shop.images(), 1, 'it has a name');
      shop.succeed(['system', 'prune', '--all', '--force'], 'again');
      assert.isEmpty(shop.images('again'));
    });
  });

  it('an ordinary user has a store and images of his own', () => {
    const home = shop.path('home');
    shop.run('chmod', ['755', shop.directory]);
    mkdirSync(home);
    shop.run('chown', [String(NOBODY), home]);
    shop.succeed(['save', '-o', 'all.tar', 'tools']);
    // The program may lie where only root can go: it is shown in a place of its own, in a namespace that ends with it.
    const script = 'mount --bind "$1" "$2" && cd "$2" && shift 2 && exec setpriv "$@"';
    const identity = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
    const environment = ['env', '-u', 'TSCR_ROOT', '-u', 'XDG_DATA_HOME', `HOME=${home}`];
    mkdirSync(shop.path('program'));
    const places = [shop.repository, shop.path('program')];
    const program = join(shop.path('program'), relative(shop.repository, shop.program));
    const user = (args: readonly string[]): string =>
      shop.run('unshare', [
        ...['-m', 'sh', '-euc', script, 'sh', ...places, ...identity, ...environment],
        ...[program, ...args],
      ]);
    assert.equal(user(['load', '-q', '-i', shop.path('all.tar')]), 'Loaded image: tools:latest\n');
    assert.equal(
      user(['images', '-q', '--no-trunc']).trim(),
      shop.succeed(['images', '-q', '--no-trunc', 'tools']),
    );
    user(['rmi', 'tools']);
    assert.isEmpty(readdirSync(join(home, '.local/share/tscr/layers')));
  });

  describe('mistakes are one line, and change nothing', () => {
    const MISTAKES: readonly [args: readonly string[], says: string | RegExp][] = [
      [['images', 'A'], 'tscr images: invalid image name "A": use lower case for the repository'],
      [['images', '--format', '{{.Nope}}'], 'tscr images: unknown field ".Nope" in the template'],
      [
        ['images', '--format', '{{range .}}'],
        /^tscr images: invalid expression "\{\{range \.\}\}" in the template; use /,
      ],
      [['inspect', 'tolls'], 'tscr inspect: no image "tolls"; did you mean "tools"?'],
      [['history', 'sha256:12'], /^tscr history: no image "sha256:12"; /],
      [['load', '-i', 'nope'], 'tscr load: "nope" does not exist'],
      [['load', '-q', '-i', 'text'], /^tscr load: the archive is damaged at its start/],
      [['load', '-q', '-i', 'empty.tar'], /^tscr load: not an image archive: /],
      [
        ['load', '--max-unpacked', 'x', '-i', 'text'],
        'tscr load: invalid size "x": use a number with an optional unit, e.g. 512m or 10g',
      ],
      [['save', 'tools', '-o', 'no/x.tar'], 'tscr save: cannot write "no/x.tar": "no" is not a directory'],
      [['save', 'nope', '-o', 'x.tar'], /^tscr save: no image "nope"; /],
      [
        ['save', '--format', 'x', 'tools'],
        'tscr save: invalid value "x" for option "--format": use "docker-archive" or "oci"',
      ],
      [
        ['tag', 'tools', 'a:b:c'],
        'tscr tag: invalid image name "a:b:c": "library/a:b" is not a valid repository',
      ],
      [['tag', 'tools', `a@sha256:${'0'.repeat(64)}`], /a tag must not contain a digest$/],
      [['tag', 'nope', 'a'], /^tscr tag: no image "nope"; /],
      [['rmi', 'nope'], /^tscr rmi: no image "nope"; /],
      [['commit', 'nope'], 'tscr commit: no container "nope"; list containers with "tscr ps -a"'],
      [['export', 'nope'], /^tscr export: no container "nope"; /],
      [['diff', 'nope'], /^tscr diff: no image "nope"; /],
      [['import', 'nope'], 'tscr import: "nope" does not exist'],
      [['import', '-c', 'RUN x', 'text'], /^tscr import: unsupported instruction "RUN x"; use "CMD", /],
      [['import', '-c', 'ENV x', 'text'], 'tscr import: "ENV x": "x" is not NAME=VALUE'],
      [
        ['import', '-c', 'EXPOSE 99999', 'text'],
        /^tscr import: "EXPOSE 99999": invalid port "99999": use a number up to 65535, /,
      ],
      [
        ['image', 'from-host', 'no-such-program'],
        'tscr image from-host: "no-such-program" was not found in PATH',
      ],
      [['image', 'from-host', './text'], 'tscr image from-host: "./text" is not an executable file'],
      [['image', 'from-hots'], 'tscr image: unknown command "from-hots"; did you mean "from-host"?'],
      [['system', 'prune'], 'tscr system prune: standard input is not a terminal; confirm with --force'],
      [['--root', '', 'images'], 'tscr images: option "--root" needs a value'],
      [['lod'], 'tscr: unknown command "lod"; did you mean "load"?'],
    ];

    before(() => {
      shop.write('text', 'not a tar'.repeat(200));
      shop.run('tar', ['-cf', 'empty.tar', '-T', '/dev/null']);
    });

    for (const [args, says] of MISTAKES) {
      it(args.join(' ').slice(0, 60), () => {
        const before = [
          readFileSync(shop.path('store/index.json'), 'utf8'),
          readdirSync(shop.directory).sort(),
        ];
        const { status, stdout, stderr } = shop.tscr(args);
        assert.deepEqual({ status, stdout }, { status: 125, stdout: '' });
        assert.lengthOf(stderr.trimEnd().split('\n'), 1, stderr);
        if (typeof says === 'string') assert.equal(stderr, `${says}\n`);
        else assert.match(stderr.trimEnd(), says);
        assert.deepEqual(
          [readFileSync(shop.path('store/index.json'), 'utf8'), readdirSync(shop.directory).sort()],
          before,
        );
      });
    }
  });
});
