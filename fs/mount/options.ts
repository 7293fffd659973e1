/** What a mount is asked for. */
import type { Worker } from 'node:worker_threads';
import type { LeftOut } from '../union/nodes/union.js';
import type { Ownership } from '../union/owners/id-mapping.js';
import type { VirtualOwners } from '../union/owners/virtual-owners.js';

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
