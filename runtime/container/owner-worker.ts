/**
 * The thread that answers calls which give files away, or become somebody, where one id is all there is.
 *
 * Rules: a file is found as its caller would find it: from the caller's root and working directory or descriptor, by the
 * kernel, with this thread's root changed to the caller's for the moment. What was read of the caller counts only if it
 * still waits afterwards. The owner is recorded by the union that holds the file; on other filesystems it is forgotten.
 * Nobody is waited for but the kernel and the union: the serving thread is another one.
 */
import { readFileSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { AT, CLONE, O, PATH_MAX } from '../../fs/sys/constants.js';
import { E, Errno, unless } from '../../fs/sys/errno.js';
import { fchdir } from '../../fs/sys/process.js';
import { type Notification, SeccompListener, stringAt } from '../../fs/sys/seccomp-notify.js';
import { chroot, close, openat, PollSet, setxattrat, unshare } from '../../fs/sys/syscalls.js';
import { ownerValue } from '../../fs/union/owner-attribute.js';
import type { Architecture } from './bpf.js';
import { capabilityMask } from './capabilities.js';
import { type ChownForm, OWNER_CALLS } from './owner-calls.js';

export interface OwnerWorkerData {
  /** The filter's listener. */
  readonly listener: number;
  /** An eventfd that asks the thread to end. */
  readonly stop: number;
  /** The attribute by which the union takes owners. */
  readonly attribute: string;
}

const CHOWN_FLAGS = AT.SYMLINK_NOFOLLOW | AT.EMPTY_PATH;

class OwnerServer {
  readonly #listener: SeccompListener;
  readonly #stop: number;
  readonly #attribute: string;
  readonly #root: number;

  constructor({ listener, stop, attribute }: OwnerWorkerData) {
    this.#listener = new SeccompListener(listener);
    this.#stop = stop;
    this.#attribute = attribute;
    this.#root = openat(AT.FDCWD, '/', O.PATH | O.DIRECTORY);
  }

  /** Until nobody is left to ask, or the owner of this thread wants its end. */
  run(): void {
    const poll = new PollSet([this.#listener.fd, this.#stop]);
    for (;;) {
      const [asked, stopped] = poll.events();
      if (stopped?.readable === true) break;
      if (asked?.readable === true) this.#next();
      else if (asked?.ended === true) break;
    }
    close(this.#root);
  }

  #next(): void {
    const notification = this.#listener.receive();
    if (notification === undefined) return;
    const code = errnoOf(() => this.#decide(notification));
    this.#listener.answer(notification, code);
  }

  #decide(notification: Notification): void {
    const architecture = process.arch as Architecture;
    const call = OWNER_CALLS.find(({ numbers }) => numbers[architecture] === notification.call);
    if (call?.chown === undefined) return;
    if (!mayChown(notification.tid)) throw new Errno(E.EPERM);
    const fd = this.#open(notification, call.chown);
    try {
      const [uid, gid] = [word(notification, call.chown.owner), word(notification, call.chown.owner + 1)];
      unless([E.EOPNOTSUPP], () => setxattrat(fd, '', this.#attribute, ownerValue(uid, gid)));
    } finally {
      close(fd);
    }
  }

  /** The file that a call means, as a descriptor with O_PATH. */
  #open(notification: Notification, form: ChownForm): number {
    const { tid } = notification;
    const flags = form.flags === undefined ? 0 : word(notification, form.flags);
    if ((flags & ~CHOWN_FLAGS) !== 0) throw new Errno(E.EINVAL);
    const path = form.path === undefined ? '' : this.#path(notification, form.path);
    const isEmptyFine = form.path === undefined || (flags & AT.EMPTY_PATH) !== 0;
    if (path === '' && !isEmptyFine) throw new Errno(E.ENOENT);
    const start = openStart(
      tid,
      form.descriptor === undefined ? AT.FDCWD : word(notification, form.descriptor) | 0,
    );
    try {
      if (path === '') return openat(AT.FDCWD, `/proc/self/fd/${start}`, O.PATH);
      const follows = form.followsLinks && (flags & AT.SYMLINK_NOFOLLOW) === 0;
      return this.#inside(notification, start, path, O.PATH | (follows ? 0 : O.NOFOLLOW));
    } finally {
      close(start);
    }
  }

  #path(notification: Notification, index: number): string {
    const path = stringAt(notification.tid, notification.args[index] ?? 0n, PATH_MAX);
    if (!this.#listener.isWaiting(notification)) throw new Errno(E.ESRCH);
    return path;
  }

  /** Opens a path with the caller's root as this thread's. */
  #inside(notification: Notification, start: number, path: string, flags: number): number {
    const root = openat(AT.FDCWD, `/proc/${notification.tid}/root`, O.PATH | O.DIRECTORY);
    try {
      if (!this.#listener.isWaiting(notification)) throw new Errno(E.ESRCH);
      fchdir(root);
      chroot('.');
      if (!path.startsWith('/')) fchdir(start);
      return openat(AT.FDCWD, path, flags);
    } finally {
      close(root);
      fchdir(this.#root);
      chroot('.');
    }
  }
}

/** The directory or file that a caller's descriptor, or AT_FDCWD, is. */
function openStart(tid: number, descriptor: number): number {
  const name = descriptor === AT.FDCWD ? 'cwd' : `fd/${descriptor}`;
  try {
    return openat(AT.FDCWD, `/proc/${tid}/${name}`, O.PATH);
  } catch (error) {
    if (error instanceof Errno && error.code === E.ENOENT) throw new Errno(E.EBADF);
    throw error;
  }
}

/** Arguments are words of 32 bits. */
const word = ({ args }: Notification, index: number): number => Number((args[index] ?? 0n) & 0xffffffffn);

const CAP_CHOWN = capabilityMask(['CAP_CHOWN']);

function mayChown(tid: number): boolean {
  const [, effective = '0'] =
    /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${tid}/status`, 'latin1')) ?? [];
  return (BigInt(`0x${effective}`) & CAP_CHOWN) !== 0n;
}

/** 0, or the errno that an attempt ended with. */
function errnoOf(attempt: () => void): number {
  try {
    attempt();
    return 0;
  } catch (error) {
    if (error instanceof Errno) return error.code;
    return E.EIO;
  }
}

unshare(CLONE.FS); // root and working directory are this thread's own
new OwnerServer(workerData as OwnerWorkerData).run();
