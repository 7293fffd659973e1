/**
 * Opens the file that the arguments of another process's system call name.
 *
 * Rules: the kernel resolves the path as for the caller: from the caller's root, working directory or descriptor; if
 * necessary this thread temporarily changes its root to the caller's. Data read from the caller is valid only if the call
 * is still waiting afterwards: its tid may belong to another thread by then. This thread must have its own root and
 * working directory (CLONE_FS).
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

/** A name that does not exist yet. */
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

  /** Throws Errno ESRCH if the call is no longer waiting. */
  stillWaits(notification: Notification): void {
    if (!this.#listener.isWaiting(notification)) throw new Errno(E.ESRCH);
  }

  /** The file that a call names, as an O_PATH descriptor. Throws Errno as the call would. */
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
   * The same for frequent calls, and only if the path starts on the root's filesystem and stays on one mount, so that the
   * thread never waits for another filesystem. undefined otherwise, and if the call would fail.
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

  /** Throws Errno EXDEV for a file on another filesystem than the root. */
  #own(fd: number): number {
    if (cachedIdentity(fd).dev === this.#device) return fd;
    close(fd);
    throw new Errno(E.EXDEV);
  }

  /** The directory and the name that a call would create; undefined if the path cannot be created. */
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

  /** Runs `act` with the caller's root and the directory `start`. @param act gets the caller's pid in its namespace */
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

/** Opens the caller's descriptor, or its working directory for AT_FDCWD. */
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
