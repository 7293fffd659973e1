/**
 * The union filesystem's public API: `mount` a stack of layers.
 *
 * A request's whole way, top to bottom:
 *
 *     /dev/fuse                      the kernel asks                        transport/device.ts
 *       -> session                   read, busy-polling                     transport/session.ts, idle.ts
 *       -> decode                    a bounded cursor over the message      protocol/decode.ts
 *       -> operation table           one row per opcode                     protocol/operations.ts
 *       -> union operation           lookup, create, rename ...             union/filesystem.ts
 *            rules: view and plan    pure decisions                         union/rules/merge.ts, plan.ts
 *            steps                   one method each                        union/rules/execute.ts, operations/target.ts
 *       -> syscall                   on a layer's descriptor                sys/syscalls.ts
 *       -> reply                     written by the same thread             protocol/encode.ts
 *
 * Three threads: the caller's, which handles signals and unmounts (`server.ts`, `supervise.ts`); the one that serves
 * requests (`serve-union.ts`); the one that writes notifications (`transport/notifier.ts`). A server in the background
 * mounts by itself in the second (`mount-here.ts`).
 */
import type { Worker } from 'node:worker_threads';
import { openFuse } from './mount/attach.js';
import { prepare, take } from './mount/prepare.js';
import { Server } from './mount/server.js';
import { close } from './sys/syscalls.js';
import type { Writable } from './union/layers/layer.js';
import type { Stack } from './union/layers/stack.js';
import type { LeftOut } from './union/nodes/union.js';
import type { Ownership } from './union/owners/id-mapping.js';
import type { VirtualOwners } from './union/owners/virtual-owners.js';

export { startServingThread } from './mount/serving-thread.js';
export { HostError, UsageError } from './sys/refusal.js';
export type { Stack } from './union/layers/stack.js';
export type { LeftOut } from './union/nodes/union.js';
export type { IdRange, Ownership } from './union/owners/id-mapping.js';
export { newVirtualOwners, type VirtualOwners } from './union/owners/virtual-owners.js';

export const TRANSPORTS = ['kernel', 'fuse-native'] as const;
export type Transport = (typeof TRANSPORTS)[number];

export interface MountOptions {
  /** Lower layers, the top one first; at least one. */
  readonly lowers: readonly string[];
  /** The writable layer; without it the mount is read-only. */
  readonly upper?: string;
  /** On upper's filesystem; made if its parent exists. Default: a hidden sibling of upper. */
  readonly work?: string;
  readonly mountpoint: string;
  /** What /proc/mounts shows as source; the layers by default. */
  readonly source?: string;
  /** Flags of mount(2) beside the read-only one, which a missing upper implies. */
  readonly flags?: number;
  /** Others than the user may use the mount. Always so for who may call mount(2); fusermount3 has to allow it. */
  readonly allowOther?: boolean;
  /** No fsync anywhere: fast, and lost after a power cut. */
  readonly volatile?: boolean;
  /** Keep written data in the kernel's cache: faster small writes, more attribute requests. */
  readonly writeback?: boolean;
  /** How changes to layers behind the mount's back are noticed: inotify, a time-out in seconds, or not at all. */
  readonly layerChanges?: 'watch' | 'never' | number;
  /** Most nodes to remember, as far as the kernel can be asked to forget; by default what a quarter of the heap holds. */
  readonly nodes?: number;
  /** How requests arrive: the kernel's own protocol, or libfuse by way of the optional package fuse-native. */
  readonly transport?: Transport;
  /** What an interrupted mount of any program has left in the work directory is removed, as overlayfs does. */
  readonly clearsWork?: boolean;
  /** What is left out on request. */
  readonly without?: readonly LeftOut[];
  /** Refuse layers whose inode numbers could not stay the same over mounts. */
  readonly lastingInodes?: boolean;
  /** The security context of everything in the mount, where the kernel runs SELinux. */
  readonly context?: string;
  /** Whose files are shown as whose, and where owners are kept; by default inodes have them. */
  readonly ownership?: Ownership;
  /** How owners and devices are recorded that the kernel refuses (`newVirtualOwners`). */
  readonly virtualOwners?: VirtualOwners;
  /** A line per request on standard error. */
  readonly trace?: boolean;
  /** What `startServingThread` gave, for this mount alone; a new one by default. */
  readonly thread?: Worker;
}

export interface Mount {
  readonly stack: Stack;
  readonly mountpoint: string;
  /** Opens the file in the work directory that takes what a server in the background complains of. */
  readonly openLog: () => number | undefined;
  /** Settles when the mount has ended. Rejects if the server failed. */
  readonly ended: Promise<void>;
  /** Settles, before `ended`, when nothing of the layers is open or locked any more. Rejects if the server failed. */
  readonly released: Promise<void>;
  /** Ends the mount: at once if nobody uses it, else by detaching it and, after a grace, cutting off who is left. */
  end(): Promise<void>;
}

/**
 * Mounts a union; it is usable when the promise settles. Throws `UsageError` for what the user can mend, before
 * anything is changed.
 */
export async function mount(options: MountOptions): Promise<Mount> {
  const { stack, mountpoint } = prepare(options);
  const start = options.transport === 'fuse-native' ? await portable(options) : kernel(mountpoint);
  const taken = await take(stack, options, start.cancel);
  try {
    const server = await start.serve(options, stack, mountpoint, taken.writable);
    taken.record();
    const { ended, released } = server;
    const unlocked = Promise.race([released, ended]).finally(taken.unlock);
    unlocked.catch(() => {}); // the same failure as `ended`, which is the caller's to handle
    const { openLog } = taken;
    return { stack, mountpoint, openLog, ended, released: unlocked, end: () => server.end() };
  } catch (error) {
    taken.undo();
    throw error;
  }
}

type Serving = Pick<Mount, 'ended' | 'released' | 'end'>;

/** A transport that is ready to serve; `cancel` lets go of it before that. */
interface Start {
  /** Lets go of the device from here on. @param writable upper and work, which stay the caller's */
  serve(
    options: MountOptions,
    stack: Stack,
    mountpoint: string,
    writable: Writable | undefined,
  ): Promise<Serving>;
  cancel(): void;
}

function kernel(mountpoint: string): Start {
  const device = openFuse(mountpoint);
  return {
    serve: (options, stack, _, writable) => Server.start(device, options, { stack, mountpoint, writable }),
    cancel: () => close(device),
  };
}

/** Loaded when it is asked for. Throws `UsageError` for what it cannot do. */
async function portable(options: MountOptions): Promise<Start> {
  const { checkPortable, startPortable } = await import('./mount/portable.js');
  checkPortable(options);
  return { serve: startPortable, cancel: () => {} };
}
