/**
 * statx(2) results as plain numbers, decoded once from a preallocated buffer.
 *
 * Rule: nothing is rounded. Inode numbers beyond 2^53 are bigints, times are whole seconds plus nanoseconds, and
 * both may lie before 1970.
 */
import { S } from './constants.js';

const TWO_32 = 2 ** 32;

/** A 64-bit number: a JS number while it is exact, a bigint beyond. Equal values have equal type, so it is a Map key. */
export type U64 = number | bigint;

export function u64(low: number, high: number): U64 {
  return high < 0x200000 ? high * TWO_32 + low : (BigInt(high) << 32n) | BigInt(low);
}

/** A point in time: seconds since 1970, negative before, and nanoseconds within the second. */
export interface Time {
  readonly seconds: number;
  readonly nanoseconds: number;
}

export interface Stat {
  readonly mode: number;
  nlink: number;
  readonly uid: number;
  readonly gid: number;
  ino: U64;
  /** Bytes. */
  size: U64;
  /** Units of 512 bytes. */
  readonly blocks: number;
  /** Preferred I/O size in bytes. */
  readonly blksize: number;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  /** The filesystem the inode lives on: major * 2^20 + minor. */
  readonly dev: number;
  readonly atime: Time;
  readonly mtime: Time;
  readonly ctime: Time;
  /** STATX_ATTR_* bits, of which only those below 2^32 are of interest. */
  readonly attributes: number;
}

/** sizeof(struct statx). */
export const STATX_SIZE = 256;
const DEV_MINOR_BITS = 2 ** 20;

/** Word (u32) offsets in struct statx. */
const W = {
  blksize: 1,
  attributes: 2,
  nlink: 4,
  uid: 5,
  gid: 6,
  mode: 7,
  ino: 8,
  size: 10,
  blocks: 12,
  atime: 16,
  ctime: 24,
  mtime: 28,
  rdevMajor: 32,
  rdevMinor: 33,
  devMajor: 34,
  devMinor: 35,
  mountId: 36,
} as const;
const MODE_MASK = 0xffff;

const wordAt = (words: Uint32Array, index: number): number => words[index] as number;

function timeAt(words: Uint32Array, index: number): Time {
  const seconds = (wordAt(words, index + 1) | 0) * TWO_32 + wordAt(words, index);
  return { seconds, nanoseconds: wordAt(words, index + 2) };
}

/** Decodes a struct statx seen as 32-bit words; the word array must be at least 64 long. */
export function decodeStatx(words: Uint32Array): Stat {
  return {
    mode: wordAt(words, W.mode) & MODE_MASK,
    nlink: wordAt(words, W.nlink),
    uid: wordAt(words, W.uid),
    gid: wordAt(words, W.gid),
    ino: u64(wordAt(words, W.ino), wordAt(words, W.ino + 1)),
    size: u64(wordAt(words, W.size), wordAt(words, W.size + 1)),
    blocks: wordAt(words, W.blocks + 1) * TWO_32 + wordAt(words, W.blocks),
    blksize: wordAt(words, W.blksize),
    rdevMajor: wordAt(words, W.rdevMajor),
    rdevMinor: wordAt(words, W.rdevMinor),
    dev: wordAt(words, W.devMajor) * DEV_MINOR_BITS + wordAt(words, W.devMinor),
    atime: timeAt(words, W.atime),
    mtime: timeAt(words, W.mtime),
    ctime: timeAt(words, W.ctime),
    attributes: wordAt(words, W.attributes),
  };
}

/** The bit of statx(2)'s mask that asks for the mount (Linux 5.8). */
export const STATX_MNT_ID = 0x1000;

/** The mount that an inode was reached by: stx_mnt_id, of which the lower half is enough to tell mounts apart. */
export const mountIdIn = (words: Uint32Array): number => wordAt(words, W.mountId);

/** Immutable or append-only (STATX_ATTR_IMMUTABLE, STATX_ATTR_APPEND). */
const IMMUTABLE = 0x10;
const APPEND = 0x20;
const PROTECTED = IMMUTABLE | APPEND;
export const isProtected = ({ attributes }: Stat): boolean => (attributes & PROTECTED) !== 0;
/** Append-only, and not immutable as well. */
export const isAppendOnly = ({ attributes }: Stat): boolean => (attributes & PROTECTED) === APPEND;
export const isDirectory = (mode: number): boolean => (mode & S.IFMT) === S.IFDIR;
export const isRegular = (mode: number): boolean => (mode & S.IFMT) === S.IFREG;
export const isSymlink = (mode: number): boolean => (mode & S.IFMT) === S.IFLNK;
/** overlayfs' whiteout: a character device with number 0/0 (ovl_is_whiteout). */
export const isWhiteoutDevice = (stat: Stat): boolean =>
  (stat.mode & S.IFMT) === S.IFCHR && stat.rdevMajor === 0 && stat.rdevMinor === 0;
