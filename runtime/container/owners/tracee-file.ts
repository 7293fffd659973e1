/**
 * The file that another process's system call means.
 *
 * Rules: it is found as the caller would find it: from the caller's root and working directory or descriptor, by the
 * kernel, with this thread's root changed to the caller's for the moment where that matters. What was read of the caller
 * counts only if it still waits afterwards: its tid may mean another thread by then. The thread must have its root and
 * working directory to itself (CLONE_FS).
 */
import { readFileSync } from 'node:fs';
import { AT, O, PATH_MAX, RESOLVE } from '../../../fs/sys/constants.js';
import { E, Errno, unless } from '../../../fs/sys/errno.js';
import { openat2 } from '../../../fs/sys/mount-api.js';
import { fchdir, getcwd } from '../../../fs/sys/process.js';
import { cachedIdentity } from '../../../fs/sys/raw-stat.js';
import { type Notification, type SeccompListener, stringAt, word } from '../../../fs/sys/seccomp-notify.js';
import { chroot, close, openat, readlinkat, tryOpenat } from '../../../fs/sys/syscalls.js';
import type { FileForm } from './calls.js';

const CHOWN_FLAGS = AT.SYMLINK_NOFOLLOW | AT.EMPTY_PATH;
/** AT_NO_AUTOMOUNT, AT_STATX_SYNC_TYPE. */
const STAT_FLAGS = CHOWN_FLAGS | 0x800 | 0x6000;

/** Of a name that does not exist yet. */
export interface NewName {
  /** A descriptor with O_PATH. */
  readonly directory: number;
  readonly name: string;
}

export class CallerFiles {
  readonly #listener: SeccompListener;
  readonly #device: number;
  /** This thread's own root. */
  readonly #root = openat(AT.FDCWD, '/', O.PATH | O.DIRECTORY);

  /** @param device the filesystem of the container's root (Stat.dev) */
  constructor(listener: SeccompListener, device: number) {
    this.#listener = listener;
    this.#device = device;
  }

  close(): void {
    close(this.#root);
  }

  /** Throws Errno ESRCH if the caller has gone. */
  stillWaits(notification: Notification): void {
    if (!this.#listener.isWaiting(notification)) throw new Errno(E.ESRCH);
  }

  /** The file that a call means, as a descriptor with O_PATH. Throws Errno as the call would. */
  open(notification: Notification, form: FileForm): number {
    const flags = flagsOf(notification, form);
    if ((flags & ~CHOWN_FLAGS) !== 0) throw new Errno(E.EINVAL);
    const path = this.#path(notification, form);
    const mayBeEmpty = form.path === undefined || (flags & AT.EMPTY_PATH) !== 0;
    if (path === '' && !mayBeEmpty) throw new Errno(E.ENOENT);
    const start = startOf(notification, form, path);
    try {
      if (path === '') {
        this.stillWaits(notification);
        return openat(AT.FDCWD, `/proc/self/fd/${start}`, O.PATH);
      }
      const how = O.PATH | (follows(form, flags) ? 0 : O.NOFOLLOW);
      return this.#asCaller(notification, start, path, (own) => openAs(own, path, how));
    } finally {
      close(start);
    }
  }

  /**
   * The same for a call that is asked about very often, and only where the way to the file begins on the filesystem of
   * the root and stays on one mount: nobody waits for another filesystem. undefined elsewhere, and for what the call would
   * be refused for.
   */
  look(notification: Notification, form: FileForm): number | undefined {
    const flags = flagsOf(notification, form);
    if ((flags & ~STAT_FLAGS) !== 0) return undefined;
    try {
      const path = this.#path(notification, form);
      if (path === '') {
        if (form.path !== undefined && (flags & AT.EMPTY_PATH) === 0) return undefined;
        return this.#own(startOf(notification, form, path));
      }
      const how = O.PATH | (follows(form, flags) ? 0 : O.NOFOLLOW);
      return path.startsWith('/')
        ? below(notification.tid, path, how)
        : this.#lookFrom(notification, form, path, how);
    } catch (error) {
      if (error instanceof Errno) return undefined;
      throw error;
    }
  }

  #lookFrom(notification: Notification, form: FileForm, path: string, how: number): number {
    const start = this.#own(startOf(notification, form, path));
    try {
      // Without ".." and symlinks the caller's root does not matter.
      const plain = UPWARDS.test(path)
        ? undefined
        : unless([E.ELOOP], () => openat2(start, path, how, RESOLVE.NO_XDEV | RESOLVE.NO_SYMLINKS));
      if (plain !== undefined) return plain;
      const directory = this.#asCaller(notification, start, path, () => getcwd());
      return below(notification.tid, `${directory}/${path}`, how);
    } finally {
      close(start);
    }
  }

  /** Throws Errno EXDEV for what is on another filesystem than the root. */
  #own(fd: number): number {
    if (cachedIdentity(fd).dev === this.#device) return fd;
    close(fd);
    throw new Errno(E.EXDEV);
  }

  /** The directory and the name that a call would make; undefined for a path that names nothing new. */
  newName(notification: Notification, form: FileForm): NewName | undefined {
    const path = this.#path(notification, form);
    const [, parent = '', name = ''] = /^(.*\/)?([^/]+)$/s.exec(path) ?? [];
    if (name === '' || name === '.' || name === '..') return undefined;
    const start = startOf(notification, form, path);
    try {
      const to = parent === '' ? '.' : parent;
      const how = O.PATH | O.DIRECTORY;
      return { directory: this.#asCaller(notification, start, to, (own) => openAs(own, to, how)), name };
    } finally {
      close(start);
    }
  }

  #path(notification: Notification, { path }: FileForm): string {
    const address = path === undefined ? 0n : (notification.args[path] ?? 0n);
    if (address === 0n) return ''; // a null pointer is no path where it may be empty (Linux 6.11)
    const text = stringAt(notification.tid, address, PATH_MAX);
    this.stillWaits(notification);
    return text;
  }

  /** Does something with the caller's root and from `start`. @param act is given the caller's pid in its namespace */
  #asCaller<T>(notification: Notification, start: number, path: string, act: (own: string) => T): T {
    const root = openat(AT.FDCWD, `/proc/${notification.tid}/root`, O.PATH | O.DIRECTORY);
    try {
      this.stillWaits(notification);
      const own = nameInside(notification.tid);
      fchdir(root);
      chroot('.');
      if (!path.startsWith('/')) fchdir(start);
      return act(own);
    } finally {
      close(root);
      fchdir(this.#root);
      chroot('.');
    }
  }
}

const UPWARDS = /(^|\/)\.\.(\/|$)/;

const flagsOf = (notification: Notification, { flags }: FileForm): number =>
  flags === undefined ? 0 : word(notification, flags);

const follows = ({ followsLinks }: FileForm, flags: number): boolean =>
  followsLinks && (flags & AT.SYMLINK_NOFOLLOW) === 0;

/** An absolute path below a thread's root, on one mount. */
function below(tid: number, path: string, how: number): number {
  const root = openat(AT.FDCWD, `/proc/${tid}/root`, O.PATH | O.DIRECTORY);
  try {
    return openat2(root, path, how, RESOLVE.NO_XDEV | RESOLVE.IN_ROOT);
  } finally {
    close(root);
  }
}

/** The pid that the caller has in its own namespace (NSpid of proc_pid_status(5)). */
function nameInside(tid: number): string {
  const status = readFileSync(`/proc/${tid}/status`, 'latin1');
  return /^NStgid:.*\b(\d+)$/m.exec(status)?.[1] ?? '';
}

const SELF = /^\/proc\/(?:thread-)?self\//;

/** In the caller's /proc, "self" is not this thread; /dev/stdout leads there. */
function openAs(pid: string, path: string, flags: number): number {
  const named = (text: string): string => text.replace(SELF, `/proc/${pid}/`);
  const found = tryOpenat(AT.FDCWD, named(path), flags);
  if (found >= 0) return found;
  const target = unless([E.EINVAL, E.ENOENT], () => readlinkat(AT.FDCWD, path));
  if (target === undefined || !SELF.test(target)) throw new Errno(-found, 'openat');
  return openat(AT.FDCWD, named(target), flags);
}

/** What a caller's descriptor, or AT_FDCWD, is. */
function startOf(notification: Notification, form: FileForm, path: string): number {
  const given =
    form.descriptor === undefined || path.startsWith('/')
      ? AT.FDCWD
      : word(notification, form.descriptor) | 0;
  const name = given === AT.FDCWD ? 'cwd' : `fd/${given}`;
  try {
    return openat(AT.FDCWD, `/proc/${notification.tid}/${name}`, O.PATH);
  } catch (error) {
    if (error instanceof Errno && error.code === E.ENOENT) throw new Errno(E.EBADF);
    throw error;
  }
}
