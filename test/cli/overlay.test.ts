/**
 * Protects those who call fuse-overlayfs or mount(8) and get the union instead: every option of theirs is taken, and a
 * mount that they asked for is there when the command returns.
 */
import { chmodSync, lstatSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { assert } from 'chai';
import { overlayRequest, type Request } from '../../cli/unionfs/overlay.js';
import { CLI, mountAt, type Outcome, usePlace } from '../support/mount/place.js';
import { processesNaming, waitUntil } from '../support/mount/processes.js';

const SUITE = 'cli: in place of fuse-overlayfs';
const COMMANDS = ['mount', 'umount'];
/** Where mount(8) looks for helpers. */
const HELPER = '/usr/sbin/mount.fuse.unionfs';
const DEFAULTS = ['-o', 'noatime', '--layer-changes', 'never', '--clear-workdir'];

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
    [
      'a timeout',
      ['-o', 'timeout=1.5', 'm'],
      ['-o', 'noatime', '--layer-changes', 'ttl=2', '--clear-workdir', '--', 'm'],
    ],
    ['the longest timeout', ['-o', 'timeout=1000000000', 'm'], [...DEFAULTS, '--', 'm']],
    ['access times', ['-o', 'atime', 'm'], ['--layer-changes', 'never', '--clear-workdir', '--', 'm']],
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
    [
      'what is left out',
      ['-o', 'noxattrs=1,noacl,static_nlink,ino32_t,redirect_dir=off,xino=on', 'm'],
      [
        ...DEFAULTS,
        ...['-o', 'noxattrs', '-o', 'noacl', '-o', 'static_nlink', '-o', 'ino32_t'],
        ...['-o', 'redirect_dir=off', '-o', 'xino=on', '--', 'm'],
      ],
    ],
    ['noxattrs=0', ['-o', 'noxattrs=0', 'm'], [...DEFAULTS, '--', 'm']],
    [
      'a context, with its commas',
      ['-o', 'context="a:s0:c1,c2"', 'm'],
      [...DEFAULTS, '-o', 'context="a:s0:c1\\,c2"', '--', 'm'],
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
      '--clear-workdir',
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
      'ignoring unknown option "--frob"',
      'ignoring unknown option "-Z"',
      'ignoring unknown option "-o frob=1"',
      'ignoring unknown option "-o private"',
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
  const place = usePlace(SUITE, ['fusermount3', 'setfacl']);

  const overlay = (args: readonly string[], options: { cwd?: string } = {}): Outcome =>
    place.outcome(place.path('fuse-overlayfs'), args, options);

  before(() => symlinkSync(CLI, place.path('fuse-overlayfs')));

  it('relative layers with separators in their names; unmounted by fusermount3, no server stays', () => {
    place.make({ 'a/one:1': { x: 'x' }, 'a/two,2': { y: 'y' }, 'a/up:,': {}, 'a/w:,': {}, 'a/m': {} });
    const list = 'lowerdir=one\\:1:two\\,2,upperdir=up\\:\\,,workdir=w\\:\\,,frob';
    const outcome = overlay(['-o', list, 'm'], { cwd: place.path('a') });
    assert.deepEqual(outcome, {
      status: 0,
      stdout: '',
      stderr: 'unionfs mount: ignoring unknown option "-o frob"\n',
    });
    const mountpoint = place.path('a/m');
    assert.deepEqual(mountAt(mountpoint)?.type, 'fuse.unionfs');
    assert.equal(place.run('sh', ['-c', 'cat a/m/x a/m/y; echo z >a/m/z; cat a/up:,/z']), 'xyz\n');
    assert.equal(place.run('stat', ['-f', '-c', '%t', mountpoint]).trim(), '65735546', 'f_type');
    place.run('fusermount3', ['-u', mountpoint]);
    assert.isUndefined(mountAt(mountpoint));
    waitUntil('the server ends', () => processesNaming(mountpoint).length === 0);
  });

  /** What is refused, and how it is called. */
  const refused: readonly (readonly [option: string, message: string])[] = [
    ['plugins=/x.so', 'unknown option "-o plugins"'],
    ['allow_root', 'unknown option "-o allow_root"'],
    ['auto_unmount', 'unknown option "-o auto_unmount"'],
    ['redirect_dir=follow', 'invalid value "follow" for option "-o redirect_dir": use "on" or "off"'],
    ['xino=often', 'invalid value "often" for option "-o xino": use "off", "auto" or "on"'],
    ['context="a:b"', 'option "-o context=a:b" needs SELinux, which is not enabled in this kernel'],
  ];
  for (const [option, message] of refused) {
    it(`refuses "-o ${option}" by name, and mounts nothing`, () => {
      place.make({ refused: { lower: {}, m: {} } });
      const outcome = overlay(['-o', `lowerdir=refused/lower,${option}`, 'refused/m']);
      assert.equal(outcome.status, 1);
      assert.include(outcome.stderr, `unionfs mount: ${message}`);
      assert.isUndefined(mountAt(place.path('refused/m')));
    });
  }

  it('refuses "-o xino=on" where a layer has no numbers that last', () => {
    const union = place.union('below-xino', { lowers: [{}] });
    place.make({ 'xino-m': {} });
    const outcome = overlay(['-o', `lowerdir=${union.mountpoint},xino=on`, 'xino-m']);
    const complaint = `layer "${union.mountpoint}" is on a filesystem without file handles, which "-o xino=on" needs; remove this option`;
    assert.equal(outcome.stderr, `unionfs mount: ${complaint}\n`);
  });

  /** Mounts a union of one lower layer with these options, and runs Python there. */
  function withOptions<T>(name: string, options: string, lower: string, code: string): T {
    place.make({ [name]: { lower: {}, upper: {}, work: {}, m: {} } });
    place.python(lower, {}, { cwd: place.path(name, 'lower') });
    const list = `lowerdir=lower,upperdir=upper,workdir=work,${options}`;
    const outcome = overlay(['-o', list, 'm'], { cwd: place.path(name) });
    assert.deepEqual(outcome, { status: 0, stdout: '', stderr: '' });
    const seen = place.python<T>(code, {}, { cwd: place.path(name, 'm') });
    place.umount(place.path(name, 'm'));
    return seen;
  }

  const ATTRIBUTES = `
    ACL = struct.pack('<IHHIHHIHHI', 2, 1, 6, 2**32 - 1, 4, 4, 2**32 - 1, 32, 4, 2**32 - 1)
    def calls(name):
        return [
            attempt(os.setxattr, 'f', name, ACL if 'acl' in name else b'new'), attempt(os.getxattr, 'f', name), attempt(os.removexattr, 'f', name),
        ]
    lists = attempt(os.listxattr, 'f')
    names = [] if lists != 'ok' else [name for name in os.listxattr('f') if not name.startswith('security.')]
  `;
  const LOWER_ATTRIBUTES = `
    create('f')
    os.setxattr('f', 'user.x', b'lower')
    subprocess.run(['setfacl', '-m', 'u:4321:rw,m::rwx', 'f'], check=True)
  `;

  it('noxattrs: there are no extended attributes, and what is copied up keeps them in upper', () => {
    const seen = withOptions(
      'noxattrs',
      'noxattrs=1',
      LOWER_ATTRIBUTES,
      `${ATTRIBUTES}
    os.chmod('f', 0o600)
    result = [calls('user.x'), calls('user.y'), lists]`,
    );
    assert.deepEqual(seen, [Array(3).fill('EOPNOTSUPP'), Array(3).fill('EOPNOTSUPP'), 'EOPNOTSUPP']);
    assert.equal(place.python(`result = os.getxattr('noxattrs/upper/f', 'user.x').decode()`), 'lower');
  });

  it('noacl: ACLs are neither shown nor set, other attributes are', () => {
    const seen = withOptions(
      'noacl',
      'noacl',
      LOWER_ATTRIBUTES,
      `${ATTRIBUTES}
    result = [calls('system.posix_acl_access'), names, calls('user.x')]`,
    );
    assert.deepEqual(seen, [Array(3).fill('EOPNOTSUPP'), ['user.x'], Array(3).fill('ok')]);
  });

  it('static_nlink: every directory has one link; without, those of one layer count theirs', () => {
    const make = `os.makedirs('d/a'); os.makedirs('d/b')`;
    const code = `os.makedirs('new/x'); result = [os.stat(name).st_nlink for name in ['.', 'd', 'new']]`;
    assert.deepEqual(withOptions('static', 'static_nlink', make, code), [1, 1, 1]);
    assert.deepEqual(withOptions('counted', 'threaded=0', make, code), [1, 4, 3]);
  });

  it('ino32_t: inode numbers are cut to 32 bits, in listings as in stat(2)', () => {
    const [inode] = withOptions<number[]>(
      'narrow',
      'ino32_t',
      `create('f')`,
      `
      entry, = os.scandir('.')
      result = [entry.inode(), os.stat('f').st_ino]
      assert result[0] == result[1] < 2**32`,
    );
    const below = lstatSync(place.path('narrow/lower/f'), { bigint: true }).ino;
    assert.equal(BigInt(inode ?? 0), BigInt.asUintN(32, below));
  });

  it('redirect_dir=off: directories of lower layers are not renamed', () => {
    const make = `os.mkdir('d')`;
    assert.equal(
      withOptions('stay', 'redirect_dir=off', make, `result = attempt(os.rename, 'd', 'e')`),
      'EXDEV',
    );
  });

  it('what another program has left in its work directory goes, as with overlayfs; and nothing else', () => {
    place.make({ left: { lower: { f: 'f' }, upper: {}, outside: { kept: 'k' }, m: {} } });
    place.make({ 'left/work': { other: 'o', 'work/#5': 'x', 'work/foo/deep/er': { f: 'x' } } });
    symlinkSync('../../outside', place.path('left/work/work/link'));
    chmodSync(place.path('left/work/work/foo'), 0);
    const list = 'lowerdir=lower,upperdir=upper,workdir=work';
    const native = ['mount', '-o', list, 'm'];
    assert.include(
      place.unionfs(native, { cwd: place.path('left') }).stderr,
      'contains "other", which does not belong to a work directory',
    );
    rmSync(place.path('left/work/other'));
    const told = place.unionfs(native, { cwd: place.path('left') }).stderr;
    assert.include(told, 'contains "work", which does not belong to a work directory');
    assert.include(told, '--clear-workdir');
    place.make({ 'left/work/other': 'o' });
    assert.equal(overlay(['-o', list, 'm'], { cwd: place.path('left') }).status, 0);
    assert.deepEqual(readdirSync(place.path('left/work/work')), []);
    assert.equal(place.run('cat', ['left/work/other', 'left/outside/kept', 'left/m/f']), 'okf');
    place.umount(place.path('left/m'));
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
      stderr: `unionfs mount: "${place.path('nowhere')}" does not exist\n`,
    });
    const nothing = overlay(['-o', 'lowerdir=c']);
    assert.deepEqual(nothing, {
      status: 1,
      stdout: '',
      stderr: 'unionfs mount: missing required argument "mountpoint"\n',
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
