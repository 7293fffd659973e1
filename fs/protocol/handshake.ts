/**
 * INIT: negotiates features with the kernel; pure functions over bytes (compare process_init_reply in
 * fs/fuse/inode.c).
 *
 * Rules that carry correctness, not only speed:
 * - ATOMIC_O_TRUNC is never taken: opens cost no message here, so nobody would truncate (`echo x > longer` would
 *   keep the tail). POSIX_LOCKS and FLOCK_LOCKS are never taken: locks are the kernel's own.
 * - ASYNC_DIO is never taken: after an asynchronous direct write the kernel does not drop the pages that it has cached,
 *   and buffered readers would go on seeing the old data (generic_file_direct_write).
 * - PASSTHROUGH is never taken: it excludes zero-message opens.
 * - NO_EXPORT_SUPPORT: nodes end with their last lookup, so a file handle could not name one for long. As on overlayfs
 *   without nfs_export there is none (EOPNOTSUPP), instead of one that is stale when it is opened.
 * - Data is invalidated explicitly, by notifications, where changes to layers are watched; where they are only
 *   noticed by a time-out, the kernel compares mtimes itself (AUTO_INVAL_DATA).
 */
import {
  FUSE_KERNEL_MINOR_VERSION,
  FUSE_KERNEL_VERSION,
  FUSE_OLDEST_MINOR_VERSION,
  InitFlag,
  type InitFlagName,
  SIZEOF,
} from './abi.js';
import type { Cursor } from './decode.js';

/** struct fuse_init_in. */
export interface InitIn {
  readonly major: number;
  readonly minor: number;
  /** Bytes. */
  readonly maxReadahead: number;
  readonly flags: ReadonlySet<InitFlagName>;
}

/** The negotiated parameters. */
export interface Connection {
  readonly minor: number;
  readonly maxReadahead: number;
  /** Largest WRITE, and READ, in bytes. */
  readonly maxWrite: number;
  /** The same in pages of the machine. */
  readonly maxPages: number;
  readonly flags: ReadonlySet<InitFlagName>;
}

export interface Wishes {
  /** Dirty pages stay in the kernel: fewer, larger WRITEs, at the price of attribute messages after every close. */
  readonly writeback: boolean;
  /** How changes from outside the mount invalidate the kernel's page cache. */
  readonly invalidation: 'explicit' | 'by-mtime';
  /** The kernel reads and obeys ACLs. */
  readonly acl: boolean;
  readonly maxWrite: number;
  /** Bytes; arm64 kernels have pages of 4, 16 or 64 KiB. */
  readonly pageSize: number;
}

/** Requests the kernel may queue in the background, and the count from which it throttles. */
const MAX_BACKGROUND = 64;
const CONGESTION_THRESHOLD = 48;

/** Flags that are accepted whenever the kernel offers them. */
export const WANTED: readonly InitFlagName[] = [
  'ASYNC_READ',
  'BIG_WRITES',
  'DONT_MASK',
  'DO_READDIRPLUS',
  'READDIRPLUS_AUTO',
  'NO_OPEN_SUPPORT',
  'NO_OPENDIR_SUPPORT',
  'PARALLEL_DIROPS',
  'POSIX_ACL',
  'ABORT_ERROR',
  'MAX_PAGES',
  'CACHE_SYMLINKS',
  'HANDLE_KILLPRIV_V2',
  'SETXATTR_EXT',
  'INIT_EXT',
  'CREATE_SUPP_GROUP',
  'HAS_EXPIRE_ONLY',
  'NO_EXPORT_SUPPORT',
  'HAS_RESEND',
];

const flagEntries = Object.entries(InitFlag) as [InitFlagName, number][];
const INIT_EXT_BIT = 1 << InitFlag.INIT_EXT;

export function decodeInit(cursor: Cursor): InitIn {
  const major = cursor.u32();
  const minor = cursor.u32();
  const maxReadahead = cursor.u32();
  const low = cursor.u32();
  const high = (low & INIT_EXT_BIT) !== 0 ? cursor.u32() : 0;
  const offered = flagEntries.filter(([, bit]) => ((bit < 32 ? low >>> bit : high >>> (bit - 32)) & 1) === 1);
  return { major, minor, maxReadahead, flags: new Set(offered.map(([name]) => name)) };
}

/** The outcome of one INIT: agreed, to be asked again with our major version, or refused. */
export type Negotiation =
  | { readonly outcome: 'agreed'; readonly connection: Connection }
  | { readonly outcome: 'retry' }
  | { readonly outcome: 'refused'; readonly reason: string };

/** Decides, without side effects, what to answer to an INIT. */
export function negotiate(init: InitIn, wishes: Wishes): Negotiation {
  if (init.major > FUSE_KERNEL_VERSION) return { outcome: 'retry' };
  if (init.major < FUSE_KERNEL_VERSION || init.minor < FUSE_OLDEST_MINOR_VERSION) {
    const needed = `${FUSE_KERNEL_VERSION}.${FUSE_OLDEST_MINOR_VERSION}`;
    const reason = `unsupported FUSE version ${init.major}.${init.minor} of the kernel; Linux 5.4 (FUSE ${needed}) or later is needed`;
    return { outcome: 'refused', reason };
  }
  const wanted = new Set(WANTED);
  if (wishes.writeback) wanted.add('WRITEBACK_CACHE');
  if (!wishes.acl) wanted.delete('POSIX_ACL');
  wanted.add(wishes.invalidation === 'explicit' ? 'EXPLICIT_INVAL_DATA' : 'AUTO_INVAL_DATA');
  const flags = new Set([...wanted].filter((name) => init.flags.has(name)));
  return {
    outcome: 'agreed',
    connection: {
      minor: Math.min(init.minor, FUSE_KERNEL_MINOR_VERSION),
      maxReadahead: init.maxReadahead,
      maxWrite: wishes.maxWrite,
      maxPages: wishes.maxWrite / wishes.pageSize,
      flags,
    },
  };
}

/** struct fuse_init_out for an agreed connection, or the answer that makes the kernel ask again. */
export function encodeInit(connection: Connection | undefined): Buffer {
  const out = Buffer.alloc(SIZEOF.fuse_init_out);
  out.writeUInt32LE(FUSE_KERNEL_VERSION, 0);
  if (connection === undefined) return out;
  const bits = (from: number): number =>
    flagEntries
      .filter(([name, bit]) => connection.flags.has(name) && bit >= from && bit < from + 32)
      .reduce((sum, [, bit]) => sum + 2 ** (bit - from), 0);
  out.writeUInt32LE(connection.minor, 4);
  out.writeUInt32LE(connection.maxReadahead, 8);
  out.writeUInt32LE(bits(0), 12);
  out.writeUInt16LE(MAX_BACKGROUND, 16);
  out.writeUInt16LE(CONGESTION_THRESHOLD, 18);
  out.writeUInt32LE(connection.maxWrite, 20);
  out.writeUInt32LE(1, 24); // time_gran: nanoseconds
  out.writeUInt16LE(connection.maxPages, 28);
  out.writeUInt32LE(bits(32), 32);
  return out;
}
