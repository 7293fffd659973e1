/**
 * Files of ours in directories that others may control: whoever owns a directory can put anything under any name in it,
 * at any moment.
 *
 * Rules: a directory is opened once, without following a symlink anywhere on its way, and everything in it is reached
 * from that descriptor. What lies under a name is looked at before it is opened (O_PATH waits for no FIFO and wakes no
 * device), and used only if it is a regular file, with this name alone, of this process's user. New content goes to a
 * file that this process has made (O_EXCL), and one rename shows it: what had the name is replaced, never written to.
 */
import { AT, O } from './constants.js';
import { E, unless } from './errno.js';
import { isRegular, type Stat } from './stat.js';
import { close, fstat, openat, pread, pwrite, renameat2, statat, unlinkat } from './syscalls.js';

const PRIVATE = 0o600;
const PASSAGE = O.PATH | O.DIRECTORY | O.NOFOLLOW;

/** Something else lies where a file of ours is expected. */
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

/** Why a file under one of our names is not used; undefined if nothing speaks against it. */
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

/** Makes a file that nobody else has had in hand; what had the name goes, unless it is a directory. */
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

/** A descriptor that appends to the file; one that is not ours makes way for a new one. */
export function openAppending(dirfd: number, name: string): number {
  const flags = O.WRONLY | O.APPEND;
  try {
    return openOwn(dirfd, name, flags, [self()]) ?? make(dirfd, name, flags);
  } catch (error) {
    if (error instanceof NotOurs) return make(dirfd, name, flags);
    throw error;
  }
}
