/**
 * New inodes where upper keeps owners in an attribute.
 *
 * Rules: the inode is the server's own, and private as far as it must be; no chown(2), no mknod(2) of devices, no set-id
 * bit is needed. What is neither a directory nor a symlink is a regular file, whose type the attribute tells. A symlink
 * cannot carry the attribute: that of another owner than the server is a file whose content is the target. All of it is
 * done in work, so that a name never shows anything else than what is recorded. What a directory passes on is passed on
 * by what is recorded for it: its group (inode_init_owner), its default ACL (posix_acl_create).
 */
import type { NewInode } from '../../protocol/filesystem.js';
import { ACL, O, S } from '../../sys/constants.js';
import { isRegular, type Stat } from '../../sys/stat.js';
import { close, mkdirat, openat, pwrite, setxattrat, symlinkat } from '../../sys/syscalls.js';
import type { OverrideXattr } from '../layers/owner-xattrs.js';
import type { Place } from '../layers/place.js';
import { inherited, type ModeAndAcl } from './acl.js';
import type { Override, Owner } from './id-mapping.js';
import { record } from './stored-owners.js';
import { escapeXattr } from './xattr-names.js';

const NEW_FILE = O.RDWR | O.CREAT | O.EXCL | O.NOFOLLOW;
const PRIVATE_FILE = 0o600;
const PRIVATE_DIRECTORY = 0o700;
const SYMLINK_MODE = S.IFLNK | 0o777;

/** What is recorded for the directory that an inode is going to be in. */
export interface ParentRecord {
  readonly stat: Stat;
  readonly defaultAcl: Uint8Array | undefined;
}

/** What is recorded for a new inode. */
interface NewRecord {
  readonly override: Override;
  readonly acl: Uint8Array | undefined;
  /** Of a directory. */
  readonly defaultAcl: Uint8Array | undefined;
}

/**
 * Makes an inode that shows an owner, a mode and a type which it has not; a regular file's descriptor, -1 for others.
 * @param owner as on disk
 */
export function makeRecorded(
  attribute: OverrideXattr,
  place: Place,
  inode: NewInode,
  owner: Owner,
  directory: ParentRecord,
): number {
  const made = recordOf(inode, owner, directory);
  if (inode.kind === 'symlink') {
    makeSymlink(attribute, place, inode.target, made.override);
    return -1;
  }
  if (inode.kind === 'directory') {
    mkdirat(place.dirfd, place.name, PRIVATE_DIRECTORY);
    recordNew(attribute, place, made);
    return -1;
  }
  return makeFile(attribute, place, made);
}

/** What is recorded for a new inode. */
export function recordOf(inode: NewInode, owner: Owner, { stat, defaultAcl }: ParentRecord): NewRecord {
  const inherits = (stat.mode & S.ISGID) !== 0;
  const isDirectory = inode.kind === 'directory';
  const number = inode.kind === 'node' ? { rdevMajor: inode.major, rdevMinor: inode.minor } : NO_DEVICE;
  const { mode, acl } = modeOf(inode, defaultAcl);
  const override = {
    uid: owner.uid,
    gid: inherits ? stat.gid : owner.gid,
    mode: mode | (inherits && isDirectory ? S.ISGID : 0),
    ...number,
  };
  return { override, acl, defaultAcl: isDirectory ? defaultAcl : undefined };
}

const NO_DEVICE = { rdevMajor: 0, rdevMinor: 0 };

function modeOf(inode: NewInode, defaultAcl: Uint8Array | undefined): ModeAndAcl {
  if (inode.kind === 'symlink') return { mode: SYMLINK_MODE, acl: undefined };
  const given = inode.mode & S.IFMT;
  const type = inode.kind === 'directory' ? S.IFDIR : given === 0 ? S.IFREG : given;
  const mode = type | (inode.mode & ~S.IFMT);
  return defaultAcl === undefined
    ? { mode: mode & ~inode.umask, acl: undefined }
    : inherited(defaultAcl, mode);
}

/** Records owner and mode of a new inode that is not visible yet. */
export function recordNew(
  attribute: OverrideXattr,
  place: Place,
  { override, acl, defaultAcl }: NewRecord,
): void {
  record(attribute, place, override);
  for (const [which, value] of [
    [ACL.ACCESS, acl],
    [ACL.DEFAULT, defaultAcl],
  ] as const) {
    if (value !== undefined) setxattrat(place.dirfd, place.name, escapeXattr(which, attribute), value);
  }
}

function makeFile(attribute: OverrideXattr, { dirfd, name }: Place, made: NewRecord): number {
  const fd = openat(dirfd, name, NEW_FILE, PRIVATE_FILE);
  try {
    recordNew(attribute, { dirfd: fd, name: '' }, made);
  } catch (error) {
    close(fd);
    throw error;
  }
  if (isRegular(made.override.mode)) return fd;
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
