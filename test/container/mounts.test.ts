/**
 * Protects the mounts of a container: they are what the specification says, and an image cannot lead them anywhere
 * else.
 */
import { lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { assert } from 'chai';
import { DEFAULT_MOUNTS } from '../../runtime/container/spec/default-spec.js';
import type { MountSpec } from '../../runtime/container/spec/runtime-spec.js';
import { type Bundle, useBundles } from '../support/container/bundles.js';
import { writeTree } from '../support/mount/tree.js';
import { run } from '../support/run.js';

describe('container: mounts', () => {
  const bundles = useBundles();
  let bundle: Bundle;
  beforeEach(() => {
    bundle = bundles.bundle();
    writeTree(bundle.at('outside'), { file: 'outside\n', 'sub/deep': 'deep\n' });
  });

  const mounts = (...more: readonly MountSpec[]): void =>
    bundle.change((spec) => ({ ...spec, mounts: [...DEFAULT_MOUNTS, ...more] }));
  const bind = (destination: string, options: readonly string[] = [], source = 'outside'): MountSpec => ({
    destination,
    source: bundle.at(source),
    options: ['bind', ...options],
  });

  it('binds a directory, whose place is made', () => {
    mounts(bind('/made/place'));
    assert.equal(bundle.output('cat /made/place/file; echo new > /made/place/new'), 'outside');
    assert.equal(readFileSync(bundle.at('outside/new'), 'utf8'), 'new\n');
    assert.isTrue(lstatSync(bundle.inRoot('made/place')).isDirectory());
  });

  it('binds a file over a new and over an old one', () => {
    mounts(bind('/etc/made/file', [], 'outside/file'), bind('/etc/passwd', [], 'outside/file'));
    assert.equal(bundle.output('cat /etc/made/file /etc/passwd'), 'outside\noutside');
    assert.isTrue(lstatSync(bundle.inRoot('etc/made/file')).isFile());
    assert.match(readFileSync(bundle.inRoot('etc/passwd'), 'utf8'), /^root:/);
  });

  it('binds relative sources from the bundle', () => {
    mounts({ destination: '/mnt', type: 'bind', source: 'outside' });
    assert.equal(bundle.output('cat /mnt/file'), 'outside');
  });

  it('binds read-only, without devices, programs or set-user-id', () => {
    mounts(bind('/mnt', ['ro', 'nosuid', 'nodev', 'noexec']));
    const output = bundle.output(
      '(echo x > /mnt/file) 2>&1; grep " /mnt " /proc/self/mounts | cut -d" " -f4',
    );
    assert.match(output, /Read-only file system\nro,nosuid,nodev,noexec,relatime/);
    assert.equal(readFileSync(bundle.at('outside/file'), 'utf8'), 'outside\n');
  });

  it('binds what is mounted below only with rbind, and makes all of it read-only with rro', () => {
    run('mount', ['-t', 'tmpfs', 'tmpfs', bundle.at('outside/sub')]);
    try {
      const test =
        'test -e /mnt/sub/deep && echo plain; (touch /mnt/sub/x) 2>/dev/null && echo written || echo refused';
      mounts(bind('/mnt'));
      assert.equal(bundle.output(test), 'plain\nwritten');
      mounts({ ...bind('/mnt'), options: ['rbind', 'ro'] });
      assert.equal(bundle.output(test), 'written', 'ro is for the upper mount alone');
      mounts({ ...bind('/mnt'), options: ['rbind', 'rro'] });
      assert.equal(bundle.output(test), 'refused');
    } finally {
      run('umount', [bundle.at('outside/sub')]);
    }
  });

  it('takes its options to the filesystem, and names the mount when it refuses them', () => {
    const scratch = { destination: '/scratch', type: 'tmpfs', source: 'tmpfs' };
    mounts({ ...scratch, options: ['size=64k', 'mode=1750', 'uid=3', 'ro'] });
    assert.match(
      bundle.output(
        'stat -c "%A %u" /scratch; grep " /scratch " /proc/self/mounts; touch /scratch/x 2>&1 || true',
      ),
      /^drwxr-x--T 3\ntmpfs \/scratch tmpfs ro,.*size=64k.*\n.*Read-only file system$/,
    );
    mounts({ ...scratch, options: ['nonsense'] });
    assert.deepEqual(bundle.run(), {
      status: 125,
      stdout: '',
      stderr: 'tscr run: cannot mount "/scratch": fsconfig: EINVAL\n',
    });
  });

  it('gives a tmpfs the mode of what it covers, and over nothing the one for everybody', () => {
    mkdirSync(bundle.inRoot('closed'), { mode: 0o750 });
    const tmpfs = (destination: string) => ({ destination, type: 'tmpfs', source: 'tmpfs' });
    mounts(tmpfs('/tmp'), tmpfs('/closed'), tmpfs('/scratch'));
    assert.equal(bundle.output('stat -c %a /tmp /closed /scratch'), '1777\n750\n1777');
  });

  it('says which source does not exist', () => {
    mounts(bind('/mnt', [], 'missing'));
    assert.equal(bundle.run().stderr, `tscr run: mount source "${bundle.at('missing')}" does not exist\n`);
  });

  it('shows the host’s later mounts neither to the container nor the container’s to the host', () => {
    mounts(bind('/mnt'), { destination: '/scratch', type: 'tmpfs', source: 'tmpfs' });
    bundle.change((spec) => ({ ...spec, process: { ...spec.process, args: ['sleep', '60'] } }));
    const { supervisor, pid } = bundle.start();
    try {
      run('mount', ['-t', 'tmpfs', 'late', bundle.at('outside/sub')]);
      const ours = (process: number | 'self'): string[] =>
        readFileSync(`/proc/${process}/mounts`, 'utf8')
          .split('\n')
          .filter((line) => /^late | \/(scratch|mnt) |tscr-bundle/.test(line))
          .map((line) => line.split(' ').slice(0, 2).join(' '));
      assert.deepEqual(ours('self'), [`late ${bundle.at('outside/sub')}`]);
      assert.deepEqual(
        ours(pid).map((line) => line.split(' ')[1]),
        ['/mnt', '/scratch'],
      );
    } finally {
      run('umount', [bundle.at('outside/sub')]);
      supervisor.kill('SIGKILL');
    }
  });

  describe('stay inside whatever links the image has:', () => {
    const TARGETS: readonly [what: string, link: string, target: (root: string) => string][] = [
      ['an absolute link to a path of the host', '/data', (root) => `${root}/../outside/sub`],
      ['a link through ..', '/data', () => '../../../../../../../tmp'],
      ['a link to the root', '/data', () => '/'],
    ];
    for (const [what, link, target] of TARGETS) {
      it(what, () => {
        symlinkSync(target(bundle.inRoot('')), bundle.inRoot(link));
        mounts({ destination: `${link}/x`, type: 'tmpfs', source: 'tmpfs' }, bind(`${link}/y`, ['ro']));
        const before = readdirSync('/tmp').filter((name) => name === 'x' || name === 'y');
        const { status, stderr } = bundle.exec('true');
        if (status !== 0) assert.match(stderr, /dangling symbolic link|not a directory/);
        assert.deepEqual(
          readdirSync('/tmp').filter((name) => name === 'x' || name === 'y'),
          before,
        );
        assert.deepEqual(readdirSync(bundle.at('outside/sub')), ['deep']);
      });
    }

    it('.. in a destination', () => {
      mounts(bind('/../../../mnt/../made'));
      assert.equal(bundle.output('cat /made/file'), 'outside');
      assert.isTrue(lstatSync(bundle.inRoot('made')).isDirectory());
    });

    for (const path of ['/proc', '/sys']) {
      it(`"${path}" as a link is refused, since it would hide what is masked`, () => {
        run('rm', ['-r', bundle.inRoot(path)]);
        mkdirSync(bundle.inRoot('evil'));
        symlinkSync('/evil', bundle.inRoot(path));
        const { status, stderr } = bundle.exec('true');
        assert.equal(status, 125);
        assert.equal(stderr, `tscr run: "${path}" is a symbolic link in the image\n`);
      });
    }

    it('devices replace what the image has under their names', () => {
      bundle.change((spec) => ({
        ...spec,
        mounts: DEFAULT_MOUNTS.filter(({ destination }) => destination !== '/dev'),
      }));
      symlinkSync('/../outside', bundle.inRoot('dev/null'));
      writeTree(bundle.inRoot('dev'), { zero: 'a file' });
      assert.equal(bundle.output('stat -c "%F %t:%T" /dev/null /dev/zero').split('\n').length, 2);
      assert.isTrue(lstatSync(bundle.inRoot('dev/null')).isCharacterDevice());
      assert.isTrue(lstatSync(bundle.inRoot('dev/zero')).isCharacterDevice());
    });
  });

  it('noPivot moves the root over "/" instead, with the same view', () => {
    const script = 'ls /; cat /proc/self/mounts; touch /x && rm /x && echo made';
    const pivoted = bundle.exec(script);
    const moved = bundle.exec(script, { noPivot: true });
    assert.deepEqual(moved, pivoted);
    assert.equal(moved.status, 0);
  });
});
