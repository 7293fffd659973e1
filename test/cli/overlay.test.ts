/**
 * Protects those who call fuse-overlayfs or mount(8) and get the union instead: every option of theirs is taken, and a
 * mount that they asked for is there when the command returns.
 */
import { rmSync, symlinkSync } from 'node:fs';
import { assert } from 'chai';
import { overlayRequest, type Request } from '../../cli/overlay.js';
import { CLI, mountAt, type Outcome, usePlace } from '../mount/place.js';
import { processesNaming, waitUntil } from '../mount/processes.js';

const SUITE = 'cli: in place of fuse-overlayfs';
const COMMANDS = ['mount', 'umount'];
/** Where mount(8) looks for helpers. */
const HELPER = '/usr/sbin/mount.fuse.unionfs';
const DEFAULTS = ['-o', 'noatime', '--layer-changes', 'never'];

function request(args: readonly string[], program = '/usr/bin/unionfs-overlay'): Request | undefined {
  return overlayRequest(program, args, COMMANDS);
}

function mountOf(args: readonly string[], program?: string): readonly string[] {
  const asked = request(args, program);
  return asked !== undefined && 'mount' in asked ? asked.mount : assert.fail('it is not a mount');
}

function warningsOf(args: readonly string[]): readonly string[] {
  const asked = request(args);
  return asked !== undefined && 'mount' in asked ? asked.warnings : assert.fail('it is not a mount');
}

describe(`${SUITE}: command lines`, () => {
  const translated: readonly [name: string, args: readonly string[], mount: readonly string[]][] = [
    [
      'a list of options',
      ['-o', 'lowerdir=a:b,upperdir=u,workdir=w', 'm'],
      [...DEFAULTS, '-o', 'lowerdir=a:b', '-o', 'upperdir=u', '-o', 'workdir=w', '--', 'm'],
    ],
    [
      'several lists',
      ['-olowerdir=a', 'm', '-o', 'ro'],
      [...DEFAULTS, '-o', 'lowerdir=a', '-o', 'ro', '--', 'm'],
    ],
    [
      'the foreground',
      ['-f', '-o', 'lowerdir=a', 'm'],
      [...DEFAULTS, '--foreground', '-o', 'lowerdir=a', '--', 'm'],
    ],
    ['debugging', ['-d', '-odebug', 'm'], [...DEFAULTS, '--trace', '--trace', '--', 'm']],
    [
      'escaped separators',
      ['-o', 'lowerdir=a\\:1:b\\,2', 'm'],
      [...DEFAULTS, '-o', 'lowerdir=a\\:1:b\\,2', '--', 'm'],
    ],
    ['fsync=0 as volatile', ['-o', 'fsync=0', 'm'], [...DEFAULTS, '-o', 'volatile', '--', 'm']],
    ['fsync=1 as what is done anyway', ['-o', 'fsync=1', 'm'], [...DEFAULTS, '--', 'm']],
    ['writeback=1', ['-o', 'writeback=1', 'm'], [...DEFAULTS, '-o', 'writeback', '--', 'm']],
    ['writeback=0', ['-o', 'writeback=0', 'm'], [...DEFAULTS, '--', 'm']],
    ['a timeout', ['-o', 'timeout=1.5', 'm'], ['-o', 'noatime', '--layer-changes', 'ttl=2', '--', 'm']],
    ['the longest timeout', ['-o', 'timeout=1000000000', 'm'], [...DEFAULTS, '--', 'm']],
    ['access times', ['-o', 'atime', 'm'], ['--layer-changes', 'never', '--', 'm']],
    [
      'owners',
      ['-o', 'uidmapping=0:1000:1:1:100000:65536,squash_to_root,xattr_permissions=2', 'm'],
      [
        ...DEFAULTS,
        ...['-o', 'uidmapping=0:1000:1:1:100000:65536', '-o', 'squash_to_root', '-o', 'xattr_permissions=2'],
        ...['--', 'm'],
      ],
    ],
    [
      'a source',
      ['none', 'm', '-o', 'lowerdir=a'],
      ['-o', 'fsname=none', ...DEFAULTS, '-o', 'lowerdir=a', '--', 'm'],
    ],
    ['a mountpoint that looks like an option', ['--', '-m'], [...DEFAULTS, '--', '-m']],
  ];
  for (const [name, args, mount] of translated) {
    it(`${name}`, () => assert.deepEqual(mountOf(args), mount));
  }

  it('as a helper of mount(8): words of its own, access times as mount(8) has them', () => {
    const args = ['none', 'm', '-s', '-n', '-v', '-t', 'fuse.unionfs', '-o', 'rw,lowerdir=a'];
    const expected = [
      '-o',
      'fsname=none',
      '--layer-changes',
      'never',
      '-o',
      'rw',
      '-o',
      'lowerdir=a',
      '--',
      'm',
    ];
    assert.deepEqual(mountOf(args, '/sbin/mount.fuse.unionfs'), expected);
    assert.deepEqual(request(['none', 'm', '-f'], '/sbin/mount.fuse.unionfs'), { print: '' }, 'a fake mount');
  });

  it('every option of fuse-overlayfs 1.x and 2.0 and of libfuse is known', () => {
    const list = `redirect_dir=off context="a:b,c" lowerdir=a upperdir=u workdir=w uidmapping=0:0:1 gidmapping=0:0:1
      timeout=1 threaded=0 fsync=1 fast_ino=1 writeback=1 noxattrs=1 plugins=/x xattr_permissions=1 squash_to_root
      squash_to_uid=1 squash_to_gid=1 ino32_t static_nlink volatile noacl xino=off xino=auto xino=on sync=1
      fast_ino_check=1 debug allow_root default_permissions allow_other suid dev nosuid nodev exec noexec atime noatime
      diratime nodiratime splice_write splice_read splice_move kernel_cache max_write=65536 ro rw fsname=x subtype=x
      auto_unmount clone_fd max_idle_threads=10 _netdev nofail noauto user defaults x-systemd.automount X-mount.mkdir`;
    assert.deepEqual(warningsOf(['-o', list.split(/\s+/).join(','), '-s', 'm']), []);
  });

  it('unknown options are ignored with a warning each', () => {
    assert.deepEqual(warningsOf(['--frob', '-Z', '-o', 'lowerdir=a,frob=1,private', 'm']), [
      'unknown option "--frob" is ignored',
      'unknown option "-Z" is ignored',
      'unknown option "-o frob=1" is ignored',
      'unknown option "-o private" is ignored',
    ]);
  });

  it('tells its version and its usage', () => {
    const said = (word: string): string => {
      const asked = request([word]);
      return asked !== undefined && 'print' in asked ? asked.print : assert.fail('it prints nothing');
    };
    for (const word of ['--version', '-V']) assert.match(said(word), /^fuse-overlayfs: version 2\.\d+\.\d+ /);
    for (const word of ['--help', '-h']) assert.match(said(word), /^usage: unionfs-overlay /);
  });

  const others: readonly [args: readonly string[], isOverlay: boolean][] = [
    [['-o', 'lowerdir=a', 'm'], true],
    [['-olowerdir=a', 'm'], true],
    [['none', 'm', '-o', 'lowerdir=a'], true],
    [['mount', 'm', '-o', 'lowerdir=a'], false],
    [['umount', 'm'], false],
    [['--version'], false],
    [[], false],
  ];
  for (const [args, isOverlay] of others) {
    it(`"unionfs ${args.join(' ')}" is ${isOverlay ? 'one' : 'none'} of these`, () => {
      assert.equal(request(args, '/usr/bin/unionfs') !== undefined, isOverlay);
    });
  }
});

describe(`${SUITE}: mounts`, () => {
  const place = usePlace(SUITE, ['fusermount3']);

  const overlay = (args: readonly string[], options: { cwd?: string } = {}): Outcome =>
    place.outcome(place.path('fuse-overlayfs'), args, options);

  before(() => symlinkSync(CLI, place.path('fuse-overlayfs')));

  it('relative layers with separators in their names; unmounted by fusermount3, no server stays', () => {
    place.make({ 'a/one:1': { x: 'x' }, 'a/two,2': { y: 'y' }, 'a/up:,': {}, 'a/w:,': {}, 'a/m': {} });
    const list = 'lowerdir=one\\:1:two\\,2,upperdir=up\\:\\,,workdir=w\\:\\,,frob';
    const outcome = overlay(['-o', list, 'm'], { cwd: place.path('a') });
    assert.deepEqual(outcome, { status: 0, stdout: '', stderr: 'unknown option "-o frob" is ignored\n' });
    const mountpoint = place.path('a/m');
    assert.deepEqual(mountAt(mountpoint)?.type, 'fuse.unionfs');
    assert.equal(place.run('sh', ['-c', 'cat a/m/x a/m/y; echo z >a/m/z; cat a/up:,/z']), 'xyz\n');
    assert.equal(place.run('stat', ['-f', '-c', '%t', mountpoint]).trim(), '65735546', 'f_type');
    place.run('fusermount3', ['-u', mountpoint]);
    assert.isUndefined(mountAt(mountpoint));
    waitUntil('the server ends', () => processesNaming(mountpoint).length === 0);
  });

  it('leaves no descriptor of its caller with the server', () => {
    place.make({ b: { lower: {}, m: {} } });
    const script = `exec 9>locked; flock 9; "$0" -o lowerdir=b/lower b/m | cat; exec 9>&-; flock -n locked echo free`;
    assert.equal(place.run('bash', ['-c', script, place.path('fuse-overlayfs')]), 'free\n');
    place.umount(place.path('b/m'));
  });

  it('says what is wrong in a line', () => {
    place.make({ c: {} });
    const missing = overlay(['-o', 'lowerdir=nowhere', 'c']);
    assert.deepEqual(missing, {
      status: 1,
      stdout: '',
      stderr: `mount: "${place.path('nowhere')}" does not exist\n`,
    });
    const nothing = overlay(['-o', 'lowerdir=c']);
    assert.deepEqual(nothing, {
      status: 1,
      stdout: '',
      stderr: 'mount: missing required argument "mountpoint"\n',
    });
  });

  it('by mount(8), from a line of fstab', () => {
    place.make({ d: { 'low,er': { x: 'x' }, up: {}, m: {} } });
    const options = `lowerdir=${place.path('d/low\\,er')},upperdir=${place.path('d/up')},nosuid,noauto,x-y`;
    place.make({ 'd/fstab': `union ${place.path('d/m')} fuse.unionfs ${options} 0 0\n` });
    symlinkSync(CLI, HELPER);
    try {
      place.run('mount', ['-T', place.path('d/fstab'), place.path('d/m')]);
    } finally {
      rmSync(HELPER);
    }
    const mounted = mountAt(place.path('d/m'));
    assert.equal(mounted?.source, 'union');
    assert.includeMembers([...(mounted?.options ?? [])], ['rw', 'nosuid']);
    assert.equal(place.run('cat', [place.path('d/m/x')]), 'x');
    place.umount(place.path('d/m'));
  });
});
