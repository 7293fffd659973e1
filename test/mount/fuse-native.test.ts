/**
 * Protects the portable transport: the main operations on a real mount, what it says it cannot do, and that it lets go
 * of everything.
 */
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  fstatSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  renameSync,
  rmdirSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert } from 'chai';
import { FUSE_NATIVE_LIMITS } from '../../fs/transport/fuse-native.js';
import { CLI, list, mountAt, type Outcome, type Union, usePlace } from '../support/mount/place.js';
import { processesNaming, waitUntil } from '../support/mount/processes.js';
import { IS_ROOT } from '../support/privilege.js';

const SUITE = 'fuse-native';
const ARGS = ['--transport', 'fuse-native'];
const WARNINGS = FUSE_NATIVE_LIMITS.map((limit) => `unionfs mount: fuse-native: ${limit}\n`).join('');
const MIB = 2 ** 20;
const PERMISSIONS = 0o7777;

/** The optional package, from dist/test/mount/. */
const PACKAGE = fileURLToPath(new URL('../../../node_modules/fuse-native', import.meta.url));

describe(SUITE, () => {
  const place = usePlace(SUITE, ['getfattr', 'setfattr', 'mkfifo']);
  const mounted = (outcome: Outcome): void =>
    assert.deepEqual(outcome, { status: 0, stdout: '', stderr: WARNINGS });

  let union: Union;
  let at: (path: string) => string;
  before(() => {
    union = place.layers('main', {
      lowers: [
        { both: 'top', 'directory/inner': 'below' },
        { both: 'bottom', lower: 'below' },
      ],
      args: ARGS,
    });
    at = union.at;
    mounted(place.unionfs(union.command));
  });

  it('says in docs/mounting.md what it says at mount', () => {
    const page = readFileSync(new URL('../../../docs/mounting.md', import.meta.url), 'utf8');
    for (const limit of FUSE_NATIVE_LIMITS)
      assert.include(page, `- ${limit.replace('".fuse_hidden..."', '`.fuse_hidden...`')}`);
  });

  it('mounts, and says what it cannot do', () => {
    assert.deepInclude(mountAt(union.mountpoint), { type: 'fuse.unionfs' });
    for (const option of ['nosuid', 'nodev', 'ro'])
      assert.notInclude(mountAt(union.mountpoint)?.options ?? [], option);
  });

  it('shows the layers as one, the upper name covers the lower one', () => {
    assert.deepEqual(list(union.mountpoint), ['both', 'directory', 'lower']);
    assert.equal(readFileSync(at('both'), 'utf8'), 'top');
    assert.equal(readFileSync(at('directory/inner'), 'utf8'), 'below');
    assert.throws(() => statSync(at('nowhere')), /ENOENT/);
  });

  it('creates, writes and reads, more than one request holds', () => {
    const data = Buffer.alloc(3 * MIB + 7, 'data');
    writeFileSync(at('large'), data);
    assert.isTrue(readFileSync(at('large')).equals(data));
    assert.isTrue(readFileSync(join(union.upper, 'large')).equals(data));
    assert.throws(() => writeFileSync(at('large'), '', { flag: 'wx' }), /EEXIST/);
  });

  it('copies up at the first write, and leaves the lower layer as it is', () => {
    writeFileSync(at('lower'), ' and more', { flag: 'a' });
    assert.equal(readFileSync(at('lower'), 'utf8'), 'below and more');
    assert.equal(readFileSync(join(union.lowers[1] ?? '', 'lower'), 'utf8'), 'below');
  });

  it('renames files', () => {
    writeFileSync(at('old'), 'x');
    writeFileSync(at('replaced'), 'y');
    renameSync(at('old'), at('replaced'));
    assert.equal(readFileSync(at('replaced'), 'utf8'), 'x');
  });

  it('renames directories of lower layers', () => {
    renameSync(at('directory'), at('moved'));
    assert.equal(readFileSync(at('moved/inner'), 'utf8'), 'below');
    assert.isFalse(existsSync(at('directory')));
    renameSync(at('moved'), at('directory'));
  });

  it('removes names; those of lower layers by whiteouts', () => {
    unlinkSync(at('both'));
    assert.throws(() => statSync(at('both')), /ENOENT/);
    assert.isTrue(lstatSync(join(union.upper, 'both')).isCharacterDevice());
    mkdirSync(at('empty'));
    assert.throws(() => rmdirSync(at('directory')), /ENOTEMPTY/);
    rmdirSync(at('empty'));
  });

  it('lists a directory while it changes, with names of every length', () => {
    mkdirSync(at('many'));
    const names = Array.from({ length: 300 }, (_, index) => `${index}`.padEnd((index % 100) + 5, 'é'));
    for (const name of names) writeFileSync(at(`many/${name}`), '');
    assert.deepEqual(list(at('many')), [...names].sort());
    rmSync(at('many'), { recursive: true });
  });

  it('makes symlinks, hard links, fifos and directories', () => {
    symlinkSync('not/there', at('symlink'));
    assert.equal(readlinkSync(at('symlink')), 'not/there');
    writeFileSync(at('first'), 'shared');
    linkSync(at('first'), at('second'));
    assert.equal(statSync(at('second')).nlink, 2);
    writeFileSync(at('second'), 'changed');
    assert.equal(readFileSync(at('first'), 'utf8'), 'changed');
    place.run('mkfifo', ['-m', '640', at('fifo')]);
    assert.isTrue(lstatSync(at('fifo')).isFIFO());
    mkdirSync(at('made'), { mode: 0o750 });
    assert.equal(statSync(at('made')).mode & PERMISSIONS, 0o750);
  });

  it('changes modes, owners, sizes and times', () => {
    writeFileSync(at('file'), 'some text');
    chmodSync(at('file'), 0o4711);
    chownSync(at('file'), 12, 34);
    truncateSync(at('file'), 4);
    utimesSync(at('file'), 1.5, 2_000_000_000.25);
    const { mode, uid, gid, size, atimeMs, mtimeMs } = statSync(join(union.upper, 'file'));
    assert.deepEqual(
      { mode: mode & PERMISSIONS, uid, gid, size, atimeMs, mtimeMs },
      { mode: 0o711, uid: 12, gid: 34, size: 4, atimeMs: 1500, mtimeMs: 2_000_000_000_250 },
    );
    assert.equal(readFileSync(at('file'), 'utf8'), 'some');
  });

  it('keeps xattrs, empty and long ones; not ACLs', () => {
    writeFileSync(at('attributes'), '');
    const long = 'x'.repeat(3000);
    for (const value of ['short', '', long]) {
      place.run('setfattr', ['-n', 'user.name', '-v', value, at('attributes')]);
      const shown = place.run('getfattr', ['--only-values', '-n', 'user.name', at('attributes')]);
      assert.equal(shown, value);
    }
    assert.include(place.run('getfattr', ['-d', at('attributes')]), 'user.name=');
    place.run('setfattr', ['-x', 'user.name', at('attributes')]);
    assert.equal(place.run('getfattr', ['-d', at('attributes')]), '');
    const acl = ['-n', 'system.posix_acl_access', '-v', '0x02000000', at('attributes')];
    assert.match(place.outcome('setfattr', acl).stderr, /not supported/);
  });

  it('answers a value that does not fit with ERANGE, and not with more than there is room for', () => {
    const seen = place.python(
      `
      import ctypes, errno
      os.setxattr(path, 'user.long', b'x' * 500)
      libc = ctypes.CDLL(None, use_errno=True)
      room = ctypes.create_string_buffer(10)
      count = libc.getxattr(path.encode(), b'user.long', room, 10)
      result = [count, errno.errorcode[ctypes.get_errno()]]
      `,
      { path: at('attributes') },
    );
    assert.deepEqual(seen, [-1, 'ERANGE']);
  });

  it('reads and writes a file that was removed while open', () => {
    writeFileSync(at('removed'), 'before');
    const fd = openSync(at('removed'), 'r+');
    unlinkSync(at('removed'));
    assert.isFalse(existsSync(at('removed')));
    const seen = Buffer.alloc(6);
    readSync(fd, seen, 0, 6, 0);
    assert.deepEqual([seen.toString(), fstatSync(fd).size], ['before', 6]);
    closeSync(fd);
    const isHidden = (name: string): boolean => name.startsWith('.fuse_hidden');
    waitUntil('it is gone', () => !readdirSync(union.mountpoint).some(isHidden)); // close does not wait for it
  });

  it('hides names that it cannot tell, and refuses to make them', () => {
    const name = Buffer.concat([Buffer.from(join(union.upper, 'made/')), Buffer.from([0xff])]);
    writeFileSync(name, '');
    const through = Buffer.concat([Buffer.from(at('made/')), Buffer.from([0xfe])]);
    assert.deepEqual(list(at('made')), []);
    assert.throws(() => writeFileSync(through, ''), /EILSEQ|illegal/);
    rmSync(name);
  });

  it('keeps out everybody else: what they made would be the mounting user’s, set-user-id files too', () => {
    const user = ['--reuid=65534', '--regid=65534', '--clear-groups', 'ls', union.mountpoint];
    assert.match(place.outcome('setpriv', user).stderr, /Permission denied/);
  });

  it('tells the space of the upper filesystem', () => {
    const [ours, upper] = [statfsSync(union.mountpoint), statfsSync(union.upper)];
    assert.equal(ours.blocks * ours.bsize, upper.blocks * upper.bsize);
  });

  it('is listed and inspected as other mounts are', () => {
    assert.include(place.succeed(['list']), union.mountpoint);
    const told = JSON.parse(place.succeed(['inspect', '--json', union.mountpoint])) as { upper: string };
    assert.equal(told.upper, union.upper);
  });

  it('lets go of everything when it is unmounted, and the union is the same for the other transport', () => {
    const names = list(union.mountpoint);
    place.succeed(['umount', union.mountpoint]);
    waitUntil('its server ends', () => processesNaming(union.mountpoint).length === 0);
    place.succeed(union.command.filter((word) => !ARGS.includes(word)));
    assert.deepEqual(list(union.mountpoint), names);
    union.umount();
  });

  it('without an upper is read-only', () => {
    const readOnly = place.layers('read-only', { lowers: [{ file: 'x' }], upper: false, args: ARGS });
    mounted(place.unionfs(readOnly.command));
    assert.throws(() => writeFileSync(readOnly.at('file'), ''), /EROFS/);
    assert.equal(readFileSync(readOnly.at('file'), 'utf8'), 'x');
    readOnly.umount();
  });

  it('says what to install where the package is missing, before anything is changed', () => {
    const hidden = place.layers('hidden', { lowers: [{}], args: ARGS });
    const hide = ['sh', '-c', 'mount -t tmpfs none "$1"; shift; exec "$@"', 'sh', PACKAGE];
    const { status, stderr } = place.outcome('unshare', [
      IS_ROOT ? '-m' : '-rm',
      ...hide,
      CLI,
      ...hidden.command,
    ]);
    const says = 'unionfs mount: --transport fuse-native: the package "fuse-native" is not installed';
    assert.deepEqual(
      { status, stderr: stderr.replace(WARNINGS, '') },
      { status: 1, stderr: `${says}; run "npm install fuse-native"\n` },
    );
    assert.isFalse(existsSync(hidden.work));
  });

  const REFUSED: readonly [args: readonly string[], says: string][] = [
    [['-o', 'allow_other'], '"-o allow_other" is not possible with --transport fuse-native'],
    [['-o', 'writeback'], '"-o writeback" is not possible with --transport fuse-native'],
    [['-o', 'nodiratime'], '"-o nodiratime" is not possible with --transport fuse-native'],
    [['--layer-changes', 'watch'], '"--layer-changes watch" is not possible with --transport fuse-native'],
  ];
  for (const [args, says] of REFUSED) {
    it(`refuses "${args.join(' ')}" before anything is changed`, () => {
      const refused = place.layers(`refused ${args.join('')}`, { lowers: [{}], args: [...ARGS, ...args] });
      const { status, stderr } = place.unionfs(refused.command);
      assert.deepEqual(
        { status, stderr: stderr.replace(WARNINGS, '') },
        { status: 1, stderr: `unionfs mount: ${says}\n` },
      );
      assert.isFalse(existsSync(refused.work));
    });
  }
});
