/**
 * The interface between transports and filesystem; both transports use it.
 *
 * Rules: names are latin1 strings, one character per byte. A failure throws `Errno`. A node id that a method
 * returned inside an `Entry` counts as one lookup until `forget` takes it back. There are no open files: every
 * method names a node, and opens cost no message.
 */

import type { Stat, U64 } from '../sys/stat.js';
import type { FilesystemStat, TimeChange } from '../sys/syscalls.js';

declare const brand: unique symbol;
/** The kernel's name for an inode of this mount; never reused. */
export type NodeId = number & { readonly [brand]: 'NodeId' };

/** The process that sent a request. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
}

/** A name resolved to a node; timeouts are in seconds. */
export interface Entry {
  readonly nodeid: NodeId;
  readonly attributes: Stat;
  readonly entryTimeout: number;
  readonly attributeTimeout: number;
}

export interface Attributes {
  readonly attributes: Stat;
  readonly attributeTimeout: number;
}

/** A lookup's result: an entry, or for how many seconds the name may be remembered as absent. */
export type LookupResult = Entry | { readonly absentFor: number };

/** Attributes to change; undefined members are not changed. */
export interface AttributeChanges {
  readonly mode: number | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  /** Bytes. */
  readonly size: number | undefined;
  readonly atime: TimeChange | undefined;
  readonly mtime: TimeChange | undefined;
  /** Clear set-user-id, and set-group-id of a group-executable file. */
  readonly killSetId: boolean;
}

/** What a new inode starts with. `umask` is the caller's; it yields to a default ACL. */
export type NewInode =
  | {
      readonly kind: 'node';
      readonly mode: number;
      readonly major: number;
      readonly minor: number;
      readonly umask: number;
    }
  | { readonly kind: 'directory'; readonly mode: number; readonly umask: number }
  | { readonly kind: 'symlink'; readonly target: string };

/** Receives the entries of a directory; each method returns false when the reply is full. */
export interface DirectorySink {
  add(name: string, ino: U64, mode: number, cookie: number): boolean;
}

/** As `DirectorySink`, but with the attributes of each entry. `resolve` is only called for entries that fit. */
export interface DirectoryPlusSink {
  add(
    name: string,
    ino: U64,
    mode: number,
    cookie: number,
    resolve: (() => Entry | undefined) | undefined,
  ): boolean;
}

export interface Filesystem {
  lookup(caller: Caller, parent: NodeId, name: string): LookupResult;
  forget(node: NodeId, lookups: number): void;
  getattr(node: NodeId): Attributes;
  setattr(caller: Caller, node: NodeId, changes: AttributeChanges): Attributes;
  readlink(node: NodeId): string;
  create(caller: Caller, parent: NodeId, name: string, inode: NewInode): Entry;
  /** A regular file without a name (O_TMPFILE); `link` may give it one. */
  tmpfile(caller: Caller, parent: NodeId, mode: number, umask: number): Entry;
  link(node: NodeId, parent: NodeId, name: string): Entry;
  unlink(parent: NodeId, name: string): void;
  rmdir(parent: NodeId, name: string): void;
  /** `flags` are renameat2(2)'s. */
  rename(parent: NodeId, name: string, newParent: NodeId, newName: string, flags: number): void;
  /** Fills `into` from `offset`; the count is short only at the end of the file. */
  read(node: NodeId, offset: number, into: Uint8Array): number;
  write(caller: Caller, node: NodeId, offset: number, data: Uint8Array, killSetId: boolean): number;
  fallocate(caller: Caller, node: NodeId, mode: number, offset: number, length: number): void;
  lseek(node: NodeId, offset: number, whence: number): number;
  /** Reads or writes `argument` in place; ENOTTY for commands that are not known. */
  ioctl(node: NodeId, command: number, argument: Buffer): void;
  copyFileRange(
    caller: Caller,
    from: NodeId,
    fromOffset: number,
    to: NodeId,
    toOffset: number,
    length: number,
  ): number;
  /** The descriptor whose fsync(2) makes a node durable; undefined if none is needed. */
  unflushed(node: NodeId): number | undefined;
  /** Entries after `cookie`; 0 starts from the beginning. */
  readdir(node: NodeId, cookie: number, sink: DirectorySink): void;
  readdirplus(node: NodeId, cookie: number, sink: DirectoryPlusSink): void;
  statfs(): FilesystemStat;
  /** The value, undefined if absent. It may alias a scratch buffer. */
  getxattr(node: NodeId, name: string): Uint8Array | undefined;
  /** The xattr names that the caller may see. */
  listxattr(caller: Caller, node: NodeId): string[];
  /** `flags` are setxattr(2)'s. */
  setxattr(node: NodeId, name: string, value: Uint8Array, flags: number, killSetGid: boolean): void;
  removexattr(node: NodeId, name: string): void;
}

/** Invalidates the kernel's caches. Delivery is asynchronous and in order. */
export interface Notifier {
  /**
   * The name was created, removed or replaced.
   * @param mayHoldMounts mounts may exist below the name, and must be kept
   */
  invalidateEntry(parent: NodeId, name: string, mayHoldMounts: boolean): void;
  /** Attributes, and data or directory listing, have changed. The notification's number. */
  invalidateInode(node: NodeId): number;
  /** Whether the kernel has taken a notification. */
  isDelivered(notification: number): boolean;
}
