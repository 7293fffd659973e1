/** What a serving thread is given: numbers and values, so that another thread can have made them. */
import { toBytes } from '../sys/path-bytes.js';
import { eventfd } from '../sys/syscalls.js';
import type { Writable } from '../union/layers/layer.js';
import type { Stack } from '../union/layers/stack.js';
import type { UnionSettings } from '../union/nodes/union.js';
import type { VirtualOwners } from '../union/owners/virtual-owners.js';
import type { MountOptions } from './options.js';
import type { Attached } from './supervise.js';

export interface ServeData {
  /** /dev/fuse, attached to the mountpoint. */
  readonly fd: number;
  /** An eventfd that asks the thread to end. */
  readonly stop: number;
  readonly stack: Stack;
  /** The stack's, open; they stay the caller's. */
  readonly writable: Writable | undefined;
  readonly settings: UnionSettings;
  /** Flags of mount(2). */
  readonly flags: number;
  readonly writeback: boolean;
  readonly trace: boolean;
  readonly virtualOwners: VirtualOwners | undefined;
}

/** What supervising a mount takes of what serving it takes. */
export const attachedOf = ({ fd, stop }: ServeData, mountpoint: string): Attached => ({
  fd,
  stop,
  mountpoint: toBytes(mountpoint),
});

/** @param fd /dev/fuse, attached to the mountpoint */
export function serveData(
  fd: number,
  settings: UnionSettings,
  options: MountOptions,
  stack: Stack,
  writable: Writable | undefined,
): ServeData {
  return {
    fd,
    stop: eventfd(),
    stack,
    writable,
    settings,
    flags: options.flags ?? 0,
    writeback: options.writeback ?? false,
    trace: options.trace ?? false,
    virtualOwners: options.virtualOwners,
  };
}
