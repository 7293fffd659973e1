/**
 * The thread that answers calls which give files away, or become somebody, where one id is all there is.
 *
 * Rules: the owner is recorded by the union that holds the file; on other filesystems it is forgotten. Nobody is waited
 * for but the kernel and the union, which another thread serves. A call that this thread cannot answer fails with EIO.
 */
import { workerData } from 'node:worker_threads';
import type { ArchitectureName } from '../../../fs/sys/architecture.js';
import { CLONE } from '../../../fs/sys/constants.js';
import { E, Errno, unless } from '../../../fs/sys/errno.js';
import { type Answer, type Notification, SeccompListener, word } from '../../../fs/sys/seccomp-notify.js';
import { close, PollSet, setxattrat, unshare } from '../../../fs/sys/syscalls.js';
import { ownerValue } from '../../../fs/union/owner-attribute.js';
import { capabilityMask } from '../capabilities.js';
import { CallerFiles } from './caller-file.js';
import { type ChownForm, callOf } from './calls.js';
import type { MappedIds } from './filter.js';
import { Identities } from './identities.js';
import { answerIdentity } from './identity-calls.js';

export interface OwnerWorkerData {
  /** The filter's listener. */
  readonly listener: number;
  /** An eventfd that asks the thread to end. */
  readonly stop: number;
  /** The attribute by which the union takes owners. */
  readonly attribute: string;
  /** Who every process really is. */
  readonly mapped: MappedIds;
}

const CAP_CHOWN = capabilityMask(['CAP_CHOWN']);

class OwnerServer {
  readonly #listener: SeccompListener;
  readonly #stop: number;
  readonly #attribute: string;
  readonly #files: CallerFiles;
  readonly #identities: Identities;

  constructor({ listener, stop, attribute, mapped: { uid, gid } }: OwnerWorkerData) {
    this.#listener = new SeccompListener(listener);
    this.#stop = stop;
    this.#attribute = attribute;
    this.#files = new CallerFiles(this.#listener);
    this.#identities = new Identities({ uid: [uid, uid, uid], gid: [gid, gid, gid] });
  }

  /** Until nobody is left to ask, or the end is wanted. */
  run(): void {
    const poll = new PollSet([this.#listener.fd, this.#stop]);
    for (;;) {
      const [asked, stopped] = poll.events();
      if (stopped?.readable === true) break;
      if (asked?.readable === true) this.#next();
      else if (asked?.ended === true) break;
    }
    this.#files.close();
  }

  #next(): void {
    const notification = this.#listener.receive();
    if (notification !== undefined) this.#listener.answer(notification, this.#decide(notification));
  }

  #decide(notification: Notification): Answer {
    const call = callOf(notification.call, process.arch as ArchitectureName);
    try {
      if (call === undefined) return 'continue';
      if (call.chown === undefined) return answerIdentity(this.#identities, notification, call.name);
      this.#chown(notification, call.chown);
      return { result: 0 };
    } catch (error) {
      return { error: error instanceof Errno ? error.code : E.EIO };
    }
  }

  #chown(notification: Notification, form: ChownForm): void {
    const { capabilities } = this.#identities.before(notification.tid);
    if ((capabilities & CAP_CHOWN) === 0n) throw new Errno(E.EPERM);
    const fd = this.#files.open(notification, form);
    try {
      const owner = ownerValue(word(notification, form.owner), word(notification, form.owner + 1));
      unless([E.EOPNOTSUPP], () => setxattrat(fd, '', this.#attribute, owner));
    } finally {
      close(fd);
    }
  }
}

unshare(CLONE.FS); // root and working directory are this thread's own
new OwnerServer(workerData as OwnerWorkerData).run();
