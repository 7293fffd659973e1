/**
 * New inodes where upper keeps owners in an attribute.
 *
 * Rules: the inode is the server's own, and private as far as it must be; no chown(2), no mknod(2) of devices, no set-id
 * bit is needed. What is neither a directory nor a symlink is a regular file, whose type the attribute tells. A symlink
 * cannot carry the attribute: that of another owner than the server is a file whose content is the target. All of it is
 * done in work, so that a name never shows anything else than what is recorded. What a directory passes on is passed on
 * by what is recorded for it (inode_init_owner).
 */
import type { NewInode } from '../protocol/filesystem.js';
import { O, S } from '../sys/constants.js';
import { isRegular, type Stat } from '../sys/stat.js';
import { close, mkdirat, openat, pwrite, symlinkat } from '../sys/syscalls.js';
import { type Place, record } from './owners.js';
import type { Override, OverrideXattr, Owner } from './ownership.js';

const NEW_FILE = O.RDWR | O.CREAT | O.EXCL | O.NOFOLLOW;
const PRIVATE_FILE = 0o600;
const PRIVATE_DIRECTORY = 0o700;
const SYMLINK_MODE = S.IFLNK | 0o777;

/**
 * Makes an inode that shows an owner, a mode and a type which it has not; a regular file's descriptor, -1 for others.
 * @param owner as on disk
 * @param directory what is recorded for the directory it is going to be in
 */
export function makeRecorded(
  attribute: OverrideXattr,
  place: Place,
  inode: NewInode,
  owner: Owner,
  directory: Stat,
): number {
  const override = overrideOf(inode, owner, directory);
  if (inode.kind === 'symlink') {
    makeSymlink(attribute, place, inode.target, override);
    return -1;
  }
  if (inode.kind === 'directory') {
    mkdirat(place.dirfd, place.name, PRIVATE_DIRECTORY);
    record(attribute, place, override);
    return -1;
  }
  return makeFile(attribute, place, override);
}

/** What is recorded for a new inode. */
export function overrideOf(inode: NewInode, owner: Owner, directory: Stat): Override {
  const inherits = (directory.mode & S.ISGID) !== 0;
  const number = inode.kind === 'node' ? { rdevMajor: inode.major, rdevMinor: inode.minor } : NO_DEVICE;
  return {
    uid: owner.uid,
    gid: inherits ? directory.gid : owner.gid,
    mode: modeOf(inode) | (inherits && inode.kind === 'directory' ? S.ISGID : 0),
    ...number,
  };
}

const NO_DEVICE = { rdevMajor: 0, rdevMinor: 0 };

function modeOf(inode: NewInode): number {
  if (inode.kind === 'symlink') return SYMLINK_MODE;
  const mode = inode.mode & ~inode.umask;
  if (inode.kind === 'directory') return S.IFDIR | (mode & ~S.IFMT);
  return (mode & S.IFMT) === 0 ? S.IFREG | mode : mode;
}

function makeFile(attribute: OverrideXattr, { dirfd, name }: Place, override: Override): number {
  const fd = openat(dirfd, name, NEW_FILE, PRIVATE_FILE);
  try {
    record(attribute, { dirfd: fd, name: '' }, override);
  } catch (error) {
    close(fd);
    throw error;
  }
  if (isRegular(override.mode)) return fd;
  close(fd);
  return -1;
}

/** @param override whose mode says "symlink" */
export function makeSymlink(
  attribute: OverrideXattr,
  place: Place,
  target: string,
  override: Override,
): void {
  const { dirfd, name } = place;
  if (override.uid === process.geteuid?.() && override.gid === process.getegid?.()) {
    symlinkat(target, dirfd, name);
    return;
  }
  makeSymlinkFile(attribute, place, target, override);
}

/** Makes a file that is shown as a symlink. */
export function makeSymlinkFile(
  attribute: OverrideXattr,
  { dirfd, name }: Place,
  target: string,
  override: Override,
): void {
  const fd = openat(dirfd, name, NEW_FILE, PRIVATE_FILE);
  try {
    const content = Buffer.from(target, 'latin1');
    pwrite(fd, content, content.length, 0);
    record(attribute, { dirfd: fd, name: '' }, override);
  } finally {
    close(fd);
  }
}
