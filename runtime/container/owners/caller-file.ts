/**
 * The file that another process's chown(2) means.
 *
 * Rules: it is found as the caller would find it: from the caller's root and working directory or descriptor, by the
 * kernel, with this thread's root changed to the caller's for the moment. What was read of the caller counts only if it
 * still waits afterwards: its tid may mean another thread by then. The thread must have its root and working directory
 * to itself (CLONE_FS).
 */
import { readFileSync } from 'node:fs';
import { AT, O, PATH_MAX } from '../../../fs/sys/constants.js';
import { E, Errno, unless } from '../../../fs/sys/errno.js';
import { fchdir } from '../../../fs/sys/process.js';
import { type Notification, type SeccompListener, stringAt, word } from '../../../fs/sys/seccomp-notify.js';
import { chroot, close, openat, readlinkat, tryOpenat } from '../../../fs/sys/syscalls.js';
import type { ChownForm } from './calls.js';

const CHOWN_FLAGS = AT.SYMLINK_NOFOLLOW | AT.EMPTY_PATH;

export class CallerFiles {
  readonly #listener: SeccompListener;
  /** This thread's own root. */
  readonly #root = openat(AT.FDCWD, '/', O.PATH | O.DIRECTORY);

  constructor(listener: SeccompListener) {
    this.#listener = listener;
  }

  close(): void {
    close(this.#root);
  }

  /** The file that a call means, as a descriptor with O_PATH. Throws Errno as the call would. */
  open(notification: Notification, form: ChownForm): number {
    const flags = form.flags === undefined ? 0 : word(notification, form.flags);
    if ((flags & ~CHOWN_FLAGS) !== 0) throw new Errno(E.EINVAL);
    const path = form.path === undefined ? '' : this.#path(notification, form.path);
    const mayBeEmpty = form.path === undefined || (flags & AT.EMPTY_PATH) !== 0;
    if (path === '' && !mayBeEmpty) throw new Errno(E.ENOENT);
    const descriptor = form.descriptor === undefined ? AT.FDCWD : word(notification, form.descriptor) | 0;
    const start = startOf(notification.tid, path.startsWith('/') ? AT.FDCWD : descriptor);
    try {
      const follows = form.followsLinks && (flags & AT.SYMLINK_NOFOLLOW) === 0;
      return this.#from(notification, start, path, O.PATH | (follows ? 0 : O.NOFOLLOW));
    } finally {
      close(start);
    }
  }

  #path(notification: Notification, index: number): string {
    const path = stringAt(notification.tid, notification.args[index] ?? 0n, PATH_MAX);
    this.#stillWaits(notification);
    return path;
  }

  #stillWaits(notification: Notification): void {
    if (!this.#listener.isWaiting(notification)) throw new Errno(E.ESRCH);
  }

  #from(notification: Notification, start: number, path: string, flags: number): number {
    if (path === '') {
      this.#stillWaits(notification);
      return openat(AT.FDCWD, `/proc/self/fd/${start}`, O.PATH);
    }
    const root = openat(AT.FDCWD, `/proc/${notification.tid}/root`, O.PATH | O.DIRECTORY);
    try {
      this.#stillWaits(notification);
      const own = nameInside(notification.tid);
      fchdir(root);
      chroot('.');
      if (!path.startsWith('/')) fchdir(start);
      return openAs(own, path, flags);
    } finally {
      close(root);
      fchdir(this.#root);
      chroot('.');
    }
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
function startOf(tid: number, descriptor: number): number {
  const name = descriptor === AT.FDCWD ? 'cwd' : `fd/${descriptor}`;
  try {
    return openat(AT.FDCWD, `/proc/${tid}/${name}`, O.PATH);
  } catch (error) {
    if (error instanceof Errno && error.code === E.ENOENT) throw new Errno(E.EBADF);
    throw error;
  }
}
