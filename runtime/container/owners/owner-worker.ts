/**
 * The thread that answers calls about owners, devices and ids in a user namespace with one id.
 *
 * Rules: the union that contains the file records the owner; on other filesystems the owner is not recorded. The thread
 * waits only for the kernel and for the union, which another thread serves. A call that it cannot answer fails with EIO;
 * the kernel answers stat(2) unless a different owner is recorded.
 */
import { workerData } from 'node:worker_threads';
import type { VirtualOwners } from '../../../fs/index.js';
import { decodeDevice } from '../../../fs/protocol/decode.js';
import type { ArchitectureName } from '../../../fs/sys/architecture.js';
import { CLONE } from '../../../fs/sys/constants.js';
import { E, Errno } from '../../../fs/sys/errno.js';
import { rawStat, rawStatx } from '../../../fs/sys/raw-stat.js';
import {
  type Answer,
  type Notification,
  SeccompListener,
  word,
  writeBytesAt,
} from '../../../fs/sys/seccomp-notify.js';
import { close, PollSet, unshare } from '../../../fs/sys/syscalls.js';
import { capabilityMask } from '../../host/capabilities.js';
import { type ChownForm, callOf, type MknodForm, type StatForm } from './calls.js';
import { isMapped, type MappedIds } from './filter.js';
import { Identities } from './identities.js';
import { answerIdentity } from './identity-calls.js';
import { CopyOwners, type OwnerStore, UnionOwners } from './owner-store.js';
import { CallerFiles } from './tracee-file.js';

export interface OwnerWorkerData {
  /** The filter's listener. */
  readonly listener: number;
  /** An eventfd that asks the thread to end. */
  readonly stop: number;
  /** The union's `MountOptions.virtualOwners`; undefined if the root is a plain copy. */
  readonly union: VirtualOwners | undefined;
  /** The filesystem of the container's root (Stat.dev), and its mount (stx_mnt_id). */
  readonly root: { readonly dev: number; readonly mount: number };
  /** The real ids of every process. */
  readonly mapped: MappedIds;
}

const CAP_CHOWN = capabilityMask(['CAP_CHOWN']);
const CAP_MKNOD = capabilityMask(['CAP_MKNOD']);
/** Of st_mode. */
const PERMISSIONS_AND_TYPE = 0xffff;

class OwnerServer {
  readonly #listener: SeccompListener;
  readonly #stop: number;
  readonly #owners: OwnerStore;
  readonly #mapped: MappedIds;
  readonly #files: CallerFiles;
  readonly #identities: Identities;

  constructor({ listener, stop, union, root, mapped }: OwnerWorkerData) {
    this.#listener = new SeccompListener(listener);
    this.#stop = stop;
    this.#owners = union === undefined ? new CopyOwners(root.mount) : new UnionOwners(union);
    this.#mapped = mapped;
    this.#files = new CallerFiles(this.#listener, root.dev);
    const { uid, gid } = mapped;
    this.#identities = new Identities({ uid: [uid, uid, uid], gid: [gid, gid, gid] });
  }

  /** Runs until no process uses the filter, or `stop` is signalled. */
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
      if (call.stat !== undefined) return this.#stat(notification, call.stat);
      if (call.chown !== undefined) return this.#chown(notification, call.chown);
      if (call.mknod !== undefined) return this.#mknod(notification, call.mknod);
      return answerIdentity(this.#identities, notification, call.name);
    } catch (error) {
      return { error: error instanceof Errno ? error.code : E.EIO };
    }
  }

  #chown(notification: Notification, form: ChownForm): Answer {
    const [uid, gid] = [word(notification, form.owner), word(notification, form.owner + 1)];
    const isKernels = isMapped(this.#mapped, uid, gid);
    const { capabilities } = this.#identities.before(notification.tid);
    if ((capabilities & CAP_CHOWN) === 0n) {
      if (isKernels) return 'continue';
      throw new Errno(E.EPERM);
    }
    const fd = this.#files.open(notification, form);
    try {
      this.#owners.give(fd, uid, gid);
      return isKernels ? 'continue' : { result: 0 };
    } finally {
      close(fd);
    }
  }

  #stat(notification: Notification, form: StatForm): Answer {
    const fd = this.#files.look(notification, form);
    if (fd === undefined) return 'continue';
    try {
      const owner = this.#owners.ownerOf(fd);
      if (owner === undefined) return 'continue';
      const { uid, gid } = owner;
      const { tid, args } = notification;
      const bytes =
        form.mask === undefined
          ? rawStat(fd, uid, gid)
          : rawStatx(fd, word(notification, form.flags ?? 0), word(notification, form.mask), uid, gid);
      this.#files.stillWaits(notification);
      writeBytesAt(tid, args[form.buffer] ?? 0n, bytes);
      return { result: 0 };
    } catch (error) {
      if (error instanceof Errno) return 'continue'; // the kernel returns the right error
      throw error;
    } finally {
      close(fd);
    }
  }

  /** Records a device, as fakeroot(1) does. */
  #mknod(notification: Notification, form: MknodForm): Answer {
    const { umask, capabilities } = this.#identities.before(notification.tid);
    if ((capabilities & CAP_MKNOD) === 0n) throw new Errno(E.EPERM);
    const at = this.#files.newName(notification, form);
    if (at === undefined) return 'continue';
    const { directory, name } = at;
    const mode = word(notification, form.mode) & PERMISSIONS_AND_TYPE & ~umask;
    const device = decodeDevice(word(notification, form.mode + 1));
    try {
      this.#owners.makeDevice(directory, name, { mode, ...device });
      return { result: 0 };
    } finally {
      close(directory);
    }
  }
}

unshare(CLONE.FS); // root and working directory are this thread's own
new OwnerServer(workerData as OwnerWorkerData).run();
