/**
 * struct stat and struct statx as the kernel writes them, but with another owner, to answer in place of the kernel.
 *
 * Rule: all other fields are unchanged.
 */
import { architectureOf } from './architecture.js';
import { AT } from './constants.js';
import { Errno } from './errno.js';
import { allocate, errno, type Memory, native } from './native.js';
import { decodeStatx, mountIdIn, STATX_MNT_ID, STATX_SIZE, type Stat } from './stat.js';

const { SYS, stat: LAYOUT } = architectureOf(process.arch);
/** Where struct statx has stx_uid; stx_gid follows. */
const STX_UID = 20;
const SIZEOF_ID = 4;

const stat = allocate(LAYOUT.size);
const statx = allocate(STATX_SIZE);
const empty = allocate(1);

/** newfstatat(2) of an open descriptor. The result is overwritten by the next call. */
export function rawStat(fd: number, uid: number, gid: number): Buffer {
  const result = native.syscallPath(SYS.newfstatat, fd, empty.address, stat.address, AT.EMPTY_PATH, 0);
  if (result < 0) throw new Errno(errno(), 'newfstatat');
  return withOwner(stat, LAYOUT.st_uid, uid, gid);
}

/** statx(2) of an open descriptor. The result is overwritten by the next call. */
export function rawStatx(fd: number, flags: number, mask: number, uid: number, gid: number): Buffer {
  if (native.statx(fd, empty.address, flags | AT.EMPTY_PATH, mask, statx.address) < 0) {
    throw new Errno(errno(), 'statx');
  }
  return withOwner(statx, STX_UID, uid, gid);
}

/**
 * Which inode a descriptor is of, and which mount it was reached by (Linux 5.8). No filesystem is asked for news of it
 * (AT_STATX_DONT_SYNC).
 */
export function cachedIdentity(fd: number): Pick<Stat, 'dev' | 'ino'> & { readonly mount: number } {
  const flags = AT.EMPTY_PATH | AT_STATX_DONT_SYNC;
  if (native.statx(fd, empty.address, flags, STATX_INO | STATX_MNT_ID, statx.address) < 0)
    throw new Errno(errno(), 'statx');
  const { dev, ino } = decodeStatx(statxWords);
  return { dev, ino, mount: mountIdIn(statxWords) };
}

const AT_STATX_DONT_SYNC = 0x4000;
const STATX_INO = 0x100;
const statxWords = new Uint32Array(statx.bytes.buffer);

function withOwner({ bytes }: Memory, at: number, uid: number, gid: number): Buffer {
  bytes.writeUInt32LE(uid, at);
  bytes.writeUInt32LE(gid, at + SIZEOF_ID);
  return bytes;
}
