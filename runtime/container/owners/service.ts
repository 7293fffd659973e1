/**
 * Virtual owners in a container with one id: the supervisor answers chown(2) and related calls.
 *
 *     supervisor                                    init stage
 *        job with the filter  ------------------>     loads it, before it gives up privileges
 *        pidfd_getfd(2)  <------------ "listener"     waits
 *        a thread listens, "go on"  ------------>     ... the command
 *        the union records owners  <------------      every call with an id that is not mapped waits for its answer
 *
 * Rule: the filter stays loaded as long as a process of the container exists; so does the thread.
 */
import { Worker } from 'node:worker_threads';
import { newVirtualOwners, type VirtualOwners as UnionOwners } from '../../../fs/index.js';
import type { ArchitectureName } from '../../../fs/sys/architecture.js';
import { AT, O } from '../../../fs/sys/constants.js';
import { cachedIdentity } from '../../../fs/sys/raw-stat.js';
import { descriptorOf } from '../../../fs/sys/seccomp-notify.js';
import { close, eventfd, openat, signalEventfd } from '../../../fs/sys/syscalls.js';
import { caller } from '../../host/caller.js';
import { currentMaps } from '../../rootless/id-maps.js';
import type { Driver } from '../records/record.js';
import { type MappedIds, ownerFilter } from './filter.js';
import type { OwnerWorkerData } from './owner-worker.js';

/** Parameters of a container with virtual owners. */
export interface VirtualOwners {
  /** The mapped ids. */
  readonly mapped: MappedIds;
  /** The union's `MountOptions.virtualOwners`; undefined if the root is a plain copy. */
  readonly union: UnionOwners | undefined;
}

/** Virtual owners for a user namespace with one id; undefined in other rootless modes. */
export function virtualOwners(driver: Driver): VirtualOwners | undefined {
  if (caller().namespace !== 'single') return undefined;
  const { uids, gids } = currentMaps();
  const mapped = { uid: uids[0]?.inside ?? 0, gid: gids[0]?.inside ?? 0 };
  return { mapped, union: driver === 'copy' ? undefined : newVirtualOwners() };
}

/** Answers the calls of one container. */
export class OwnerService {
  readonly #owners: VirtualOwners;
  /** The program that the init stage loads with `loadSeccompListener`. */
  readonly filter: Buffer;
  #thread: { readonly listener: number; readonly stop: number; readonly ended: Promise<void> } | undefined;

  constructor(owners: VirtualOwners) {
    this.#owners = owners;
    const { mapped, union } = owners;
    this.filter = ownerFilter(mapped, process.arch as ArchitectureName, union === undefined);
  }

  /**
   * Answers the notifications of the listener that process `pid` has as `fd`, in a thread of its own.
   * @throws Errno if the descriptor cannot be copied
   */
  serve(pid: number, fd: number): void {
    const listener = descriptorOf(pid, fd);
    const stop = eventfd();
    const data: OwnerWorkerData = { listener, stop, root: rootOf(pid), ...this.#owners };
    const worker = new Worker(new URL('./owner-worker.js', import.meta.url), { workerData: data });
    const ended = new Promise<void>((resolve, reject) => {
      worker.on('error', reject);
      worker.on('exit', () => resolve());
    });
    ended.catch(() => {}); // `end` rejects too
    this.#thread = { listener, stop, ended };
  }

  /** Ends the thread; calls that come later fail with ENOSYS. Rejects if the thread failed. */
  async end(): Promise<void> {
    if (this.#thread === undefined) return;
    const { listener, stop, ended } = this.#thread;
    signalEventfd(stop);
    try {
      await ended;
    } finally {
      close(listener);
      close(stop);
    }
  }
}

/** The filesystem and the mount of a process's root. */
function rootOf(pid: number): OwnerWorkerData['root'] {
  const fd = openat(AT.FDCWD, `/proc/${pid}/root`, O.PATH | O.DIRECTORY);
  try {
    const { dev, mount } = cachedIdentity(fd);
    return { dev, mount };
  } finally {
    close(fd);
  }
}
