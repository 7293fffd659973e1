/**
 * The lower layers of the acceptance tests: a Debian root as an image has it, a small busybox root with one
 * of every kind of file, and a second small layer above that with whiteouts and opaque directories.
 * All are cached, and no test may change them.
 */
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  lchownSync,
  linkSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { IS_HOST_ROOT, MARK, SECOND_NAMESPACE } from '../privilege.js';
import { run } from '../run.js';
import { cached } from './cache.js';

export const DEBIAN_SUITE = 'bookworm';
export const { UNIONFS_TEST_DEBIAN_MIRROR: DEBIAN_MIRROR = 'http://deb.debian.org/debian' } = process.env;
export const DEBIAN_ROOT = 'debian';
/** The number grows with every change to what the root holds: an old cache is not used for a new test. */
export const BUSYBOX_ROOT = 'busybox-1';
export const BUSYBOX_PATCH = 'busybox-patch-1';

const DEBIAN_PACKAGES = 'git,gcc,make,sqlite3,python3';
const DEBOOTSTRAP_TIMEOUT_MS = 1_800_000;
const BUSYBOX = '/bin/busybox';
const OLD = '2020-02-02 02:02:02.123456789 UTC';

const DATA_DIRECTORIES = 20;
const FILES_PER_DIRECTORY = 20;
const DATA_MODES = [0o644, 0o600, 0o755, 0o444, 0o4755, 0o2755, 0o1644, 0o000];
const DATA_OWNERS = [0, 1000, 12345, 65534];
const FIRST_DATA_TIME = 1_500_000_000.25;
const SIZE_STEP = 137;
const SHARED_FILES = 150;
const MIB = 1024 * 1024;
const LONGEST_NAME = 255;

/** A Debian root with the tools of the long test. */
export function debianRoot(): string {
  return cached(DEBIAN_ROOT, (root) => {
    const options = ['--variant=minbase', `--include=${DEBIAN_PACKAGES}`];
    // In a mount namespace of its own: an interrupted debootstrap leaves its proc mounted.
    run('unshare', ['--mount', 'debootstrap', ...options, DEBIAN_SUITE, root, DEBIAN_MIRROR], {
      timeoutMs: DEBOOTSTRAP_TIMEOUT_MS,
    });
  });
}

/** A few hundred files of every kind, and busybox to work on them. */
export function busyboxRoot(): string {
  return cached(BUSYBOX_ROOT, (root) => {
    addSystem(root);
    addDataFiles(root);
    addSharedFiles(root);
    addLinks(root);
    addOddFiles(root);
    addAttributes(root);
    setOldTimes(root);
    varyDataFiles(root);
  });
}

/** The layer above the busybox root, as an image's second layer hides and replaces what the first has. */
export function busyboxPatch(): string {
  return cached(BUSYBOX_PATCH, (root) => {
    put(root, 'etc/motd', 'from the second layer\n');
    put(root, 'data/dir04', 'a file in the place of a directory\n');
    put(root, 'data/dir05/file00/inside', 'a directory in the place of a file\n');
    put(root, 'data/dir06/added', 'in a directory that both layers have\n');
    put(root, 'data/dir07/file00', 'all that is left\n');
    run('setfattr', ['-n', `${MARK}opaque`, '-v', 'y', join(root, 'data/dir07')]);
    run('mknod', [join(root, 'data/dir06/file00'), 'c', '0', '0']);
    run('mknod', [join(root, 'data/dir08'), 'c', '0', '0']);
    setOldTimes(root);
  });
}

function addSystem(root: string): void {
  for (const name of ['bin', 'dev', 'proc', 'root', 'tmp', 'var/empty', 'srv']) makeDirectory(root, name);
  chmodSync(join(root, 'tmp'), 0o1777);
  chmodSync(join(root, 'root'), 0o700);
  copyFileSync(run('sh', ['-c', 'command -v busybox']).trim(), join(root, BUSYBOX));
  const applets = run('busybox', ['--list']).split('\n');
  for (const applet of applets.filter((name) => name !== '' && name !== 'busybox')) {
    symlinkSync('busybox', join(root, 'bin', applet));
  }
  put(root, 'etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/srv:/bin/sh\n');
  put(root, 'etc/group', 'root:x:0:\nuser:x:1000:\n');
  put(root, 'etc/motd', 'from the first layer\n');
  put(root, 'etc/config', 'colour=red\nsize=small\n');
  put(root, 'dev/null', '');
  if (!IS_HOST_ROOT) return;
  rmSync(join(root, 'dev/null'));
  run('mknod', ['-m', '666', join(root, 'dev/null'), 'c', '1', '3']);
}

function addDataFiles(root: string): void {
  for (const { path, index } of dataFiles())
    put(root, path, `${path}\n`.repeat(1 + ((index * SIZE_STEP) % 400)));
}

/** What `rm -rf /usr/share` meets: a deep and a wide part. */
function addSharedFiles(root: string): void {
  for (let index = 0; index < SHARED_FILES; index++)
    put(root, `usr/share/doc/package${index}/copyright`, 'free\n');
  put(root, 'usr/share/a/b/c/d/e/f/g/h/i/j/k/deep', 'deep\n');
}

function addLinks(root: string): void {
  put(root, 'links/one', 'one file with three names\n');
  linkSync(join(root, 'links/one'), join(root, 'links/two'));
  linkSync(join(root, 'links/one'), join(root, 'srv/three'));
  put(root, 'links/left', 'one file with two names\n');
  linkSync(join(root, 'links/left'), join(root, 'links/right'));
  symlinkSync('one', join(root, 'links/symbolic'));
  symlinkSync('nowhere/at/all', join(root, 'links/dangling'));
}

function addOddFiles(root: string): void {
  for (const name of ['-rf', 'new\nline', ' blanks ', 'back\\slash', 'a=b%c', 'x'.repeat(LONGEST_NAME)]) {
    put(root, `odd/${name}`, name);
  }
  writeFileSync(Buffer.concat([Buffer.from(`${root}/odd/`), Buffer.from([0xff, 0xfe, 0x80])]), 'not UTF-8');
  put(root, 'odd/empty', '');
  put(root, 'odd/sparse', '');
  truncateSync(join(root, 'odd/sparse'), 8 * MIB);
  appendFileSync(join(root, 'odd/sparse'), 'after the hole');
  put(root, 'odd/large', Buffer.alloc(3 * MIB, 'large '));
  run('mkfifo', [join(root, 'odd/fifo')]);
  if (IS_HOST_ROOT) run('mknod', [join(root, 'odd/block'), 'b', '7', '250']);
  makeDirectory(root, 'odd/setgid');
  lchownSync(join(root, 'odd/setgid'), 0, 1000);
  chmodSync(join(root, 'odd/setgid'), 0o2775);
  makeDirectory(root, 'odd/closed');
  chmodSync(join(root, 'odd/closed'), 0o000);
}

/** One of each kind of attribute: POSIX ACLs and file capabilities are attributes with binary values. */
function addAttributes(root: string): void {
  put(root, 'attributes/file', 'has attributes\n');
  put(root, 'attributes/program', 'has a capability\n');
  makeDirectory(root, 'attributes/directory');
  symlinkSync('file', join(root, 'attributes/symlink'));
  const set = (path: string, name: string, value: string) =>
    run('setfattr', ['-h', '-n', name, '-v', value, join(root, 'attributes', path)]);
  set('file', 'user.colour', 'red');
  set('file', 'user.binary', '0x00ff80c3280a');
  set('file', 'user.empty', '""');
  set('file', `${SECOND_NAMESPACE}note`, 'for root');
  if (IS_HOST_ROOT) set('symlink', 'trusted.note', 'on a symlink');
  set('directory', 'user.colour', 'blue');
  set('program', 'security.capability', '0x0100000200040000000000000000000000000000'); // cap_net_bind_service=ep
  set('file', 'system.posix_acl_access', acl(0x6));
  set('directory', 'system.posix_acl_default', acl(0x7));
}

/** The wire form of an ACL that gives user 1000 the rights `user`: version, then tag, rights, id each. */
function acl(user: number): string {
  const anybody = 0xffffffff;
  const entries = [
    [0x01, 0x6, anybody], // owner
    [0x02, user, 1000], // the named user
    [0x04, 0x4, anybody], // group
    [0x10, 0x7, anybody], // mask
    [0x20, 0x4, anybody], // others
  ] as const;
  const encoded = entries.map(([tag, rights, id]) => {
    const entry = Buffer.alloc(8);
    entry.writeUInt16LE(tag, 0);
    entry.writeUInt16LE(rights, 2);
    entry.writeUInt32LE(id, 4);
    return entry;
  });
  return `0x02000000${Buffer.concat(encoded).toString('hex')}`;
}

function setOldTimes(root: string): void {
  run('find', [root, '-exec', 'touch', '-h', '-d', OLD, '{}', '+']);
}

/** Gives each data file an owner, a mode and a time of its own. */
function varyDataFiles(root: string): void {
  for (const { path, index } of dataFiles()) {
    const file = join(root, path);
    const owner = DATA_OWNERS[index % DATA_OWNERS.length] ?? 0;
    lchownSync(file, owner, owner);
    chmodSync(file, DATA_MODES[index % DATA_MODES.length] ?? 0); // after chown, which clears suid
    utimesSync(file, FIRST_DATA_TIME + index, FIRST_DATA_TIME + index);
  }
}

function* dataFiles(): Generator<{ path: string; index: number }> {
  const twoDigits = (number: number) => String(number).padStart(2, '0');
  for (let index = 0; index < DATA_DIRECTORIES * FILES_PER_DIRECTORY; index++) {
    const directory = Math.floor(index / FILES_PER_DIRECTORY);
    yield { path: `data/dir${twoDigits(directory)}/file${twoDigits(index % FILES_PER_DIRECTORY)}`, index };
  }
}

function makeDirectory(root: string, path: string): void {
  mkdirSync(join(root, path), { recursive: true });
}

function put(root: string, path: string, content: string | Buffer): void {
  makeDirectory(root, dirname(path));
  writeFileSync(join(root, path), content);
}
