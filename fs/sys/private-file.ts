/**
 * Our files in directories of other users, who can replace any entry at any time.
 *
 * Rules: a directory is opened once, without following a symlink anywhere on its way, and everything in it is reached
 * from that descriptor. An entry is checked before it is opened (O_PATH does not block on a FIFO or
 * open a device), and used only if it is a regular file with one link that belongs to this user. New content goes to a
 * file that this process has made (O_EXCL), and renamed: an existing entry is replaced, never written to.
 */
import { AT, O } from './constants.js';
import { E, unless } from './errno.js';
import { isRegular, type Stat } from './stat.js';
import { close, fstat, openat, pread, pwrite, renameat2, statat, unlinkat } from './syscalls.js';

const PRIVATE = 0o600;
const PASSAGE = O.PATH | O.DIRECTORY | O.NOFOLLOW;

/** An entry is not a file of ours. */
export class NotOurs extends Error {}

/**
 * Opens a directory as O_PATH by its real path, a latin1 string, from the directory `root` on; a component that is a
 * symlink by now is ENOTDIR.
 */
export function openWithoutSymlinks(path: string, root?: number): number {
  let fd = root === undefined ? openat(AT.FDCWD, '/', O.PATH | O.DIRECTORY) : openat(root, '.', PASSAGE);
  for (const name of path.split('/').filter((component) => component !== '')) {
    const above = fd;
    try {
      fd = openat(above, name, PASSAGE);
    } finally {
      close(above);
    }
  }
  return fd;
}

/** This process's user, as file systems know him. */
const self = (): number => process.geteuid?.() ?? 0;

/** Why a file is not used; undefined if it is acceptable. */
function objection({ mode, nlink, uid }: Stat, owners: readonly number[]): string | undefined {
  if (!isRegular(mode)) return 'is not a regular file';
  if (nlink !== 1) return 'has other names (hard links)';
  return owners.includes(uid) ? undefined : `belongs to uid ${uid}`;
}

/**
 * Opens what a name leads to, symlinks not followed, unless `objection` has one: what it objects to is never opened.
 * Throws `NotOurs`; Errno if there is nothing.
 */
export function openInspected(
  dirfd: number,
  name: string,
  flags: number,
  objection: (stat: Stat) => string | undefined,
): number {
  const found = openat(dirfd, name, O.PATH | O.NOFOLLOW);
  try {
    const complaint = objection(fstat(found));
    if (complaint !== undefined) throw new NotOurs(complaint);
    return openat(AT.FDCWD, `/proc/self/fd/${found}`, flags);
  } finally {
    close(found);
  }
}

/** The same for a file of these owners; undefined if there is none. */
const openOwn = (dirfd: number, name: string, flags: number, owners: readonly number[]): number | undefined =>
  unless([E.ENOENT], () => openInspected(dirfd, name, flags, (stat) => objection(stat, owners)));

/**
 * The content of a file that this process's user, root or the directory's owner has written; undefined if there is
 * none. Throws `NotOurs` for anything else, and for what is longer than `limit` bytes.
 */
export function readPrivate(dirfd: number, name: string, limit: number): Buffer | undefined {
  const owners = [self(), 0, fstat(dirfd).uid];
  const fd = openOwn(dirfd, name, O.RDONLY, owners);
  if (fd === undefined) return undefined;
  try {
    const { size } = fstat(fd);
    if (Number(size) > limit) throw new NotOurs(`is longer than ${limit} bytes`);
    const content = Buffer.alloc(Number(size));
    return content.subarray(0, pread(fd, content, content.length, 0));
  } finally {
    close(fd);
  }
}

/** Creates a new file (O_EXCL) after removing an existing entry, unless that is a directory. */
function make(dirfd: number, name: string, flags: number): number {
  if (statat(dirfd, name) !== undefined) unless([E.ENOENT], () => unlinkat(dirfd, name));
  return openat(dirfd, name, flags | O.CREAT | O.EXCL | O.NOFOLLOW, PRIVATE);
}

/** Gives the name to a new file with this content: whoever reads it sees the old or the new one. */
export function replacePrivate(dirfd: number, name: string, content: Uint8Array): void {
  const fresh = `${name}.new`;
  const fd = make(dirfd, fresh, O.WRONLY);
  try {
    for (let done = 0; done < content.length; ) {
      done += pwrite(fd, content.subarray(done), content.length - done, done);
    }
    renameat2(dirfd, fresh, dirfd, name);
  } catch (error) {
    unless([E.ENOENT], () => unlinkat(dirfd, fresh));
    throw error;
  } finally {
    close(fd);
  }
}

/** Opens the file for appending; a file that is not ours is replaced by a new one. */
export function openAppending(dirfd: number, name: string): number {
  const flags = O.WRONLY | O.APPEND;
  try {
    return openOwn(dirfd, name, flags, [self()]) ?? make(dirfd, name, flags);
  } catch (error) {
    if (error instanceof NotOurs) return make(dirfd, name, flags);
    throw error;
  }
}
