/**
 * Converts values of path operations to the types of fuse-native: text, milliseconds, counts of 32 bits.
 *
 * Rule: a value that cannot be represented is refused, or replaced by the nearest one that can.
 */
import { E, Errno } from '../sys/errno.js';
import type { Stat, Time } from '../sys/stat.js';
import type { FilesystemStat } from '../sys/syscalls.js';

/** What fuse-native copies into struct stat; times are milliseconds. */
export interface PathStat {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly nlink: number;
  readonly rdev: number;
  readonly blksize: number;
  readonly blocks: number;
  readonly atime: number;
  readonly mtime: number;
  readonly ctime: number;
}

/** struct statvfs, whose counts have 32 bits here. */
export interface PathStatfs {
  readonly bsize: number;
  readonly frsize: number;
  readonly blocks: number;
  readonly bfree: number;
  readonly bavail: number;
  readonly files: number;
  readonly ffree: number;
  readonly favail: number;
  readonly namemax: number;
}

const REPLACED = '\ufffd';
const MS = 1000;
const NS_PER_MS = 1_000_000;
const TWO_32 = 2 ** 32;

/** A name as bytes; refuses one that was no UTF-8. */
export function toBytes(text: string): string {
  if (text.includes(REPLACED)) throw new Errno(E.EILSEQ);
  return Buffer.from(text).toString('latin1');
}

/** A name as text; undefined if it is no UTF-8. */
export function toText(bytes: string): string | undefined {
  const text = Buffer.from(bytes, 'latin1').toString();
  return text.includes(REPLACED) ? undefined : text;
}

/** No time before 1970 can be told. */
const millisecondsOf = ({ seconds, nanoseconds }: Time): number =>
  Math.max(0, seconds * MS + Math.floor(nanoseconds / NS_PER_MS));

export function timeOf(milliseconds: number): Time {
  return { seconds: Math.floor(milliseconds / MS), nanoseconds: (milliseconds % MS) * NS_PER_MS };
}

export function statOf(stat: Stat): PathStat {
  const { rdevMajor: major, rdevMinor: minor } = stat;
  return {
    mode: stat.mode,
    uid: stat.uid,
    gid: stat.gid,
    size: Number(stat.size),
    nlink: stat.nlink,
    rdev: ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)) >>> 0,
    blksize: stat.blksize,
    blocks: stat.blocks,
    atime: millisecondsOf(stat.atime),
    mtime: millisecondsOf(stat.mtime),
    ctime: millisecondsOf(stat.ctime),
  };
}

/** Blocks as large as it takes to count them in 32 bits. */
export function statfsOf(stat: FilesystemStat): PathStatfs {
  const unit = stat.frsize || stat.bsize;
  let factor = 1;
  while (stat.blocks / factor >= TWO_32) factor *= 2;
  const counted = (blocks: number): number => Math.floor(blocks / factor);
  const limited = (count: number): number => Math.min(count, TWO_32 - 1);
  return {
    bsize: stat.bsize,
    frsize: unit * factor,
    blocks: counted(stat.blocks),
    bfree: counted(stat.bfree),
    bavail: counted(stat.bavail),
    files: limited(stat.files),
    ffree: limited(stat.ffree),
    favail: limited(stat.ffree),
    namemax: stat.namelen,
  };
}
