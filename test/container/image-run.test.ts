/**
 * Protects `tscr run` as a user calls it: what a container sees and leaves, its exit code, and that nothing stays behind
 * however it ends. The image is made of this host's own programs.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { assert } from 'chai';
import { flattenStack } from '../../fs/union/offline/flatten.js';
import { DRIVERS } from '../../runtime/container/records/record.js';
import { describeTree, diffTrees, maskTimesSince } from '../support/acceptance/tree.js';
import { crun, runc } from '../support/container/bundles.js';
import { Tscr } from '../support/container/tscr.js';
import { usePlace } from '../support/mount/place.js';

const SUITE = 'tscr run';
const PROGRAMS = 'sh,ls,cat,true,id,sleep,touch,rm,mkdir,chmod,ln,tar,stat,mv,find,env,head,hostname,dd,cp';

describe(SUITE, () => {
  const place = usePlace(SUITE);
  let tscr: Tscr;

  before(function () {
    this.timeout(60_000);
    tscr = new Tscr(place.path('store'), place.path('run'));
    tscr.succeed(['image', 'from-host', PROGRAMS, '-t', 'host:1']);
  });

  afterEach(() => assert.deepEqual(tscr.leftovers(), [], 'nothing is left of any container'));

  const sh = (script: string, ...options: readonly string[]) =>
    tscr.run(['run', '--rm', ...options, 'host:1', 'sh', '-c', script]);
  /** A plain copy of what an image's layers show. */
  const rootOf = (image: string): string => {
    const [{ GraphDriver } = { GraphDriver: { Data: {} as Record<string, string> } }] = JSON.parse(
      tscr.succeed(['inspect', image]),
    );
    const { UpperDir = '', LowerDir = '' } = GraphDriver.Data;
    const name = `root-of-${image.replace(':', '-')}`;
    place.make({ [name]: {} });
    flattenStack({ lowers: [UpperDir, ...LowerDir.split(':')] }, place.path(name));
    return place.path(name);
  };
  const output = (script: string, ...options: readonly string[]): string => {
    const { stdout, stderr, status } = sh(script, ...options);
    assert.deepEqual({ stderr, status }, { stderr: '', status: 0 }, script);
    return stdout.trimEnd();
  };

  describe("the exit code is docker's", () => {
    for (const [what, command, status, stderr] of [
      ['0', ['true'], 0, ''],
      ["the command's own", ['sh', '-c', 'exit 7'], 7, ''],
      ['128 + the signal that killed it', ['sh', '-c', 'sh -c "kill -9 \\$\\$"'], 137, 'Killed\n'],
      ['127 for what is not there', ['no-such'], 127, 'tscr run: "no-such" was not found in the container\n'],
      ['126 for what is no program', ['/etc'], 126, undefined],
    ] as const) {
      it(what, () => {
        const seen = tscr.run(['run', '--rm', 'host:1', ...command]);
        assert.equal(seen.status, status, seen.stderr);
        if (stderr !== undefined) assert.equal(seen.stderr, stderr);
      });
    }

    it('125 for what tscr refuses, with a line that says what', () => {
      const { status, stderr } = tscr.run(['run', 'none:1']);
      assert.equal(status, 125);
      assert.match(stderr, /^tscr run: no image "none:1".*\n$/);
    });
  });

  describe('the container', () => {
    it('is alone: its own processes, name and mounts', () => {
      assert.equal(output('echo $$; hostname', '--hostname', 'inside'), '1\ninside');
      assert.isBelow(output('ls -d /proc/[0-9]*').split('\n').length, 3);
    });

    it("has the command line's variables, user, directory and input", () => {
      const seen = output(
        'echo $A $B; id -u; id -g; pwd',
        '-e',
        'A=1',
        '-e',
        'B',
        '-u',
        '1000:50',
        '-w',
        '/tmp',
      );
      assert.equal(seen, '1\n1000\n50\n/tmp');
      const { stdout } = tscr.run(['run', '--rm', '-i', 'host:1', 'cat'], { input: 'to the container' });
      assert.equal(stdout, 'to the container');
    });

    it('sees host directories where -v shows them, and can write to them unless they are read-only', () => {
      place.make({ shared: { file: 'from the host' } });
      const at = place.path('shared');
      assert.equal(output('cat /data/file; echo made >/data/made', '-v', `${at}:/data`), 'from the host');
      assert.equal(readFileSync(join(at, 'made'), 'utf8'), 'made\n');
      assert.notEqual(sh('echo >/data/x', '-v', `${at}:/data:ro`).status, 0);
      assert.isFalse(existsSync(join(at, 'x')));
    });

    it('cannot write to a read-only root, but to a tmpfs', () => {
      assert.equal(output('touch /tmp/x; ls /tmp', '--read-only', '--tmpfs', '/tmp'), 'x');
      assert.notEqual(sh('touch /x', '--read-only').status, 0);
    });

    it('writes to its own layer alone: another container of the image sees nothing, the image stays', () => {
      tscr.succeed(['run', '--name', 'one', 'host:1', 'sh', '-c', 'echo one >/etc/shared; rm /usr/bin/id']);
      tscr.succeed(['run', '--name', 'two', 'host:1', 'sh', '-c', 'test ! -e /etc/shared && id >/dev/null']);
      assert.equal(
        tscr.succeed(['diff', 'one']),
        'C /etc\nA /etc/shared\nC /usr\nC /usr/bin\nD /usr/bin/id\n',
      );
      assert.equal(tscr.succeed(['diff', 'two']), '');
      tscr.succeed(['rm', 'one', 'two']);
    });

    it('has its own hosts, hostname and resolv.conf, which are in no layer', () => {
      const seen = output(
        'cat /etc/hostname; echo changed >/etc/hosts; cat /etc/hosts',
        '--hostname',
        'named',
      );
      assert.equal(seen, 'named\nchanged');
      tscr.succeed(['run', '--name', 'own-files', 'host:1', 'sh', '-c', 'echo changed >/etc/resolv.conf']);
      assert.equal(tscr.succeed(['diff', 'own-files']), '');
      tscr.succeed(['rm', 'own-files']);
    });

    it('runs in the root by chroot(2) too', () => {
      assert.equal(output('ls -d /usr', '--no-pivot'), '/usr');
    });

    it('has no network but its own with --network none', () => {
      assert.equal(output('cat /proc/net/dev', '--network', 'none').split('\n').length, 3);
    });
  });

  it('all storage drivers give the same root, byte for byte, and the same after the same work', () => {
    const work =
      'rm -r /usr/bin/id; mkdir -p /new/deep; echo data >/new/deep/file; ln -s a /new/link; chmod 700 /tmp; mv /new/deep /moved';
    // tar rounds times down to seconds
    const start = BigInt(Math.floor(Date.now() / 1000) - 1) * 1_000_000_000n;
    const trees = DRIVERS.map((driver) => {
      place.make({ [`out-${driver}`]: {} });
      const out = place.path(`out-${driver}`);
      output(
        `${work}; tar -c --one-file-system --exclude=./out --exclude=./dev --exclude=./proc --exclude=./sys --exclude=./etc/hosts --exclude=./etc/hostname --exclude=./etc/resolv.conf -C / . | tar -x -C /out`,
        '--storage-driver',
        driver,
        '-v',
        `${out}:/out`,
      );
      return maskTimesSince(describeTree(out), start);
    });
    for (const tree of trees.slice(1)) assert.deepEqual(diffTrees(trees[0] ?? new Map(), tree), []);
    assert.isAbove(trees[0]?.size ?? 0, 30);
  }).timeout(120_000);

  it('all storage drivers tell the same changes, and commit the same root', () => {
    const work = [
      'echo changed >>/etc/kept; cp -p /etc/stamped /tmp/was; echo ATAD >/etc/stamped; touch -r /tmp/was /etc/stamped; rm /tmp/was',
      'rm /etc/gone; rm -r /opt/tree; echo file >/opt/tree; rm /opt/file; mkdir -p /opt/file/deep',
      'rm -r /opt/again; mkdir /opt/again; echo new >/opt/again/new; chmod 4711 /etc/mode',
      'mkdir -p /new/deep; echo data >/new/deep/one; ln /new/deep/one /new/two; ln -s a /new/link',
    ].join('; ');
    const seed = [
      'mkdir -p /opt/tree/below /opt/again /etc; for f in kept gone mode; do echo $f >/etc/$f; done; echo DATA >/etc/stamped',
      'echo 1 >/opt/tree/below/file; echo 2 >/opt/file; echo 3 >/opt/again/old',
    ].join('; ');
    tscr.succeed(['run', '--name', 'seed', 'host:1', 'sh', '-c', seed]);
    tscr.succeed(['commit', 'seed', 'seeded:1']);
    const start = BigInt(Date.now() - 1000) * 1_000_000n;
    const seen = DRIVERS.map((driver) => {
      tscr.succeed(['run', '--name', driver, '--storage-driver', driver, 'seeded:1', 'sh', '-c', work]);
      tscr.succeed(['commit', driver, `${driver}:1`]);
      const told = {
        changes: tscr.succeed(['diff', driver]),
        inLayer: tscr.succeed(['diff', `${driver}:1`]),
      };
      return { ...told, tree: maskTimesSince(describeTree(rootOf(`${driver}:1`)), start) };
    });
    const [union, ...others] = seen;
    if (union === undefined) throw new Error('there is no driver');
    assert.include(union.changes, 'C /etc/stamped\n');
    assert.include(union.changes, 'D /opt/again/old\n');
    for (const other of others) {
      assert.equal(other.changes, union.changes);
      assert.equal(other.inLayer, union.inLayer);
      assert.deepEqual(diffTrees(union.tree, other.tree), []);
    }
    tscr.succeed(['rm', 'seed', ...DRIVERS]);
  }).timeout(120_000);

  it('a signal goes to the command, and its answer comes back', async () => {
    const container = tscr.start([
      'run',
      '--rm',
      'host:1',
      'sh',
      '-c',
      'trap "exit 9" TERM; echo ready; while :; do sleep 0.05; done',
    ]);
    await container.says('ready');
    container.signal('SIGTERM');
    assert.equal(await container.ended, 9);
  });

  it('rm -f ends a running container; rm alone refuses', async () => {
    const container = tscr.start(['run', '--name', 'busy', 'host:1', 'sh', '-c', 'echo ready; sleep 60']);
    await container.says('ready');
    assert.match(tscr.succeed(['ps']), /busy/);
    assert.match(tscr.succeed(['top', 'busy']), /sleep 60/);
    const refused = tscr.run(['rm', 'busy']);
    assert.deepEqual(
      [refused.status, refused.stderr],
      [125, 'tscr rm: container "busy" is running; stop it, or use "tscr rm -f"\n'],
    );
    tscr.succeed(['rm', '-f', 'busy']);
    assert.equal(await container.ended, 137);
    assert.notMatch(tscr.succeed(['ps', '-a']), /busy/);
  });

  for (const rm of [['--rm'], []]) {
    it(`a supervisor that is killed takes everything along; the next command clears up ${rm.join()}`, async () => {
      const container = tscr.start([
        'run',
        ...rm,
        '--name',
        'victim',
        'host:1',
        'sh',
        '-c',
        'echo ready; sleep 60 & sleep 60',
      ]);
      await container.says('ready');
      container.signal('SIGKILL');
      await container.ended;
      for (let tries = 0; tscr.processes().length > 0 && tries < 100; tries++) await setTimeout(20);
      assert.deepEqual(tscr.processes(), []);
      const listed = tscr.succeed(['ps', '-a']);
      if (rm.length > 0) assert.notMatch(listed, /victim/);
      else {
        assert.match(listed, /Exited \(137\).*victim/);
        tscr.succeed(['rm', 'victim']);
      }
      assert.deepEqual(tscr.leftovers(), []);
    });
  }

  it('those of another node are left alone', () => {
    tscr.succeed(['run', '--name', 'foreign', 'host:1', 'true']);
    const [id = ''] = readdirSync(place.path('store/containers'));
    const path = place.path('store/containers', id, 'container.json');
    const record = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(path, JSON.stringify({ ...record, node: { machine: 'other', boot: 'other' } }));
    place.run('rm', [place.path('store/containers', id, 'exit.json')]);
    assert.match(tscr.succeed(['ps', '-a']), /On another node.*foreign/);
    assert.equal(
      tscr.run(['rm', 'foreign']).stderr,
      'tscr rm: container "foreign" is on another node; remove it there\n',
    );
    place.run('rm', ['-r', place.path('store/containers', id)]);
  });

  it('a taken name is refused, and nothing is left of the attempt', () => {
    tscr.succeed(['run', '--name', 'taken', 'host:1', 'true']);
    const { status, stderr } = tscr.run(['run', '--name', 'taken', 'host:1', 'true']);
    assert.equal(status, 125);
    assert.match(
      stderr,
      /^tscr run: the name "taken" is already used by container [0-9a-f]{12}; remove it with "tscr rm taken"\n$/,
    );
    tscr.succeed(['rm', 'taken']);
    assert.deepEqual(readdirSync(place.path('store/containers')), []);
  });

  it('20 at once, and none leaves anything', async function () {
    this.timeout(180_000);
    const { UNIONFS_ACCEPTANCE } = process.env;
    const rounds = UNIONFS_ACCEPTANCE === 'full' ? 10 : 2;
    for (let round = 0; round < rounds; round++) {
      const all = Array.from({ length: 20 }, (_, index) =>
        tscr.start([
          'run',
          '--rm',
          'host:1',
          'sh',
          '-c',
          `echo ${index} >/tmp/own; cat /tmp/own; exit ${index}`,
        ]),
      );
      assert.deepEqual(
        await Promise.all(all.map(({ ended }) => ended)),
        all.map((_, index) => index),
      );
      assert.deepEqual(tscr.leftovers(), []);
    }
  });

  it('runs a directory as it is with --rootfs', () => {
    const [layer = ''] = JSON.parse(tscr.succeed(['inspect', 'host:1']))[0].GraphDriver.Data.UpperDir.split(
      ':',
    );
    place.run('cp', ['-a', layer, place.path('plain')]);
    tscr.succeed(['run', '--rootfs', place.path('plain'), 'sh', '-c', 'echo kept >/made']);
    assert.equal(readFileSync(place.path('plain/made'), 'utf8'), 'kept\n');
    assert.equal(readlinkSync(place.path('plain/bin')), 'usr/bin');
  });

  describe('bundles', () => {
    before(() => void tscr.succeed(['bundle', 'host:1', place.path('bundle')]));

    const withArgs = (args: readonly string[]): string => {
      const path = place.path('bundle/config.json');
      const spec = JSON.parse(readFileSync(path, 'utf8'));
      spec.process.args = args;
      writeFileSync(path, JSON.stringify(spec));
      return place.path('bundle');
    };

    it('are run by tscr, runc and crun alike', () => {
      const bundle = withArgs(['sh', '-c', 'echo $$; id -u; cat /etc/hostname; exit 5']);
      const runs = [tscr.run(['run', '--bundle', bundle]), runc(bundle), crun(bundle)];
      for (const { status, stdout } of runs) assert.deepEqual([status, stdout.split('\n')[0]], [5, '1']);
      assert.equal(runs[1]?.stdout, runs[0]?.stdout);
      assert.equal(runs[2]?.stdout, runs[0]?.stdout);
    });

    it('are not made over what is there', () => {
      const { status, stderr } = tscr.run(['bundle', 'host:1', place.path('bundle')]);
      assert.equal(status, 125);
      assert.match(stderr, /^tscr bundle: ".*" holds ".*"; choose an empty directory\n$/);
    });
  });
});
