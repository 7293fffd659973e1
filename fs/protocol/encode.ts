/**
 * Writing a reply: one output buffer per session, the header in front, the body built in place behind it.
 *
 * Rule: a reply is begun by the session, filled by exactly one operation, and sent once. Data that is read from a
 * file goes straight into the buffer.
 */
import type { Stat, U64 } from '../sys/stat.js';
import { allocate, type Memory } from '../sys/syscalls.js';
import { SIZEOF } from './abi.js';
import type { Entry, NodeId } from './filesystem.js';

const TWO_32 = 2 ** 32;
/** new_encode_dev */
const encodeDevice = (major: number, minor: number): number =>
  ((minor & 0xff) | (major << 8) | ((minor & 0xfff00) << 12)) >>> 0;
/** S_IF* to DT_* (readdir(3)). */
const DT_SHIFT = 12;
const DIRENT_ALIGN = 8;
const padded = (length: number): number => Math.ceil(length / DIRENT_ALIGN) * DIRENT_ALIGN;

/** fsync(2) of an open file, or fdatasync(2). */
export interface Flush {
  readonly fd: number;
  readonly dataOnly: boolean;
}

export class Reply {
  readonly memory: Memory;
  readonly buffer: Buffer;
  readonly #view: DataView;
  #end: number = SIZEOF.fuse_out_header;
  /** READDIR: the space the caller has, counted from the start of the buffer. */
  #limit = 0;
  #flush: Flush | undefined;

  constructor(size: number) {
    this.memory = allocate(size);
    this.buffer = this.memory.bytes;
    this.#view = new DataView(this.buffer.buffer);
  }

  /** The nodes whose lookup count this reply increments; it is decremented again if the reply is not delivered. */
  readonly handedOut: NodeId[] = [];

  /** The fsync that must complete before the reply is sent. */
  get flush(): Flush | undefined {
    return this.#flush;
  }

  begin(): void {
    this.#end = SIZEOF.fuse_out_header;
    this.#flush = undefined;
    if (this.handedOut.length > 0) this.handedOut.length = 0;
  }

  /** Completes the header. With an error (positive errno) the body is dropped. @returns the message's length */
  finish(uniqueLow: number, uniqueHigh: number, error: number): number {
    const length = error === 0 ? this.#end : SIZEOF.fuse_out_header;
    this.#view.setUint32(0, length, true);
    this.#view.setInt32(4, -error, true);
    this.#view.setUint32(8, uniqueLow, true);
    this.#view.setUint32(12, uniqueHigh, true);
    return length;
  }

  /** Requests an fsync of `fd` before the reply is sent. */
  flushFirst(fd: number, dataOnly: boolean): void {
    this.#flush = { fd, dataOnly };
  }

  #take(length: number): number {
    const at = this.#end;
    this.#end = at + length;
    return at;
  }

  u32(value: number): void {
    this.#view.setUint32(this.#take(4), value, true);
  }

  u64(value: U64): void {
    this.#setU64(this.#take(8), value);
  }

  #setU64(at: number, value: U64): void {
    if (typeof value === 'bigint') {
      this.#view.setBigUint64(at, value, true);
    } else {
      const high = Math.floor(value / TWO_32);
      this.#view.setUint32(at, value - high * TWO_32, true); // "%" would be a call of fmod(3)
      this.#view.setUint32(at + 4, high, true);
    }
  }

  /** A region of up to `length` bytes to fill; `filled` then says how much of it counts. */
  room(length: number): Buffer {
    return this.buffer.subarray(this.#end, this.#end + length);
  }

  filled(length: number): void {
    this.#take(length);
  }

  bytes(bytes: Uint8Array): void {
    this.buffer.set(bytes, this.#take(bytes.length));
  }

  text(text: string): void {
    this.#take(this.buffer.write(text, this.#end, 'latin1'));
  }

  /** struct fuse_attr. */
  #attr(at: number, stat: Stat): void {
    const view = this.#view;
    this.#setU64(at, stat.ino);
    this.#setU64(at + 8, stat.size);
    this.#setU64(at + 16, stat.blocks);
    this.#setU64(at + 24, stat.atime.seconds);
    this.#setU64(at + 32, stat.mtime.seconds);
    this.#setU64(at + 40, stat.ctime.seconds);
    view.setUint32(at + 48, stat.atime.nanoseconds, true);
    view.setUint32(at + 52, stat.mtime.nanoseconds, true);
    view.setUint32(at + 56, stat.ctime.nanoseconds, true);
    view.setUint32(at + 60, stat.mode, true);
    view.setUint32(at + 64, stat.nlink, true);
    view.setUint32(at + 68, stat.uid, true);
    view.setUint32(at + 72, stat.gid, true);
    view.setUint32(at + 76, encodeDevice(stat.rdevMajor, stat.rdevMinor), true);
    view.setUint32(at + 80, stat.blksize, true);
    view.setUint32(at + 84, 0, true);
  }

  /** struct fuse_attr_out. */
  attr(stat: Stat, timeout: number): void {
    const at = this.#take(16 + SIZEOF.fuse_attr);
    this.#setU64(at, timeout);
    this.#setU64(at + 8, 0);
    this.#attr(at + 16, stat);
  }

  /** struct fuse_entry_out. */
  entry(entry: Entry): void {
    this.#entryAt(this.#take(SIZEOF.fuse_entry_out), entry);
  }

  #entryAt(at: number, entry: Entry): void {
    this.handedOut.push(entry.nodeid);
    this.#setU64(at, entry.nodeid);
    this.#setU64(at + 8, 0); // generation: node ids are never reused
    this.#setU64(at + 16, entry.entryTimeout);
    this.#setU64(at + 24, entry.attributeTimeout);
    this.#setU64(at + 32, 0); // entry_valid_nsec, attr_valid_nsec
    this.#attr(at + 40, entry.attributes);
  }

  /** A negative entry: node id 0 with a timeout lets the kernel remember that the name does not exist. */
  negativeEntry(timeout: number): void {
    const at = this.#take(SIZEOF.fuse_entry_out);
    this.buffer.fill(0, at, at + SIZEOF.fuse_entry_out);
    this.#setU64(at + 16, timeout);
  }

  /** Declares how many bytes of directory entries the caller takes. */
  limit(length: number): void {
    this.#limit = Math.min(this.#end + length, this.buffer.length);
  }

  /** struct fuse_dirent; false if it does not fit any more. */
  dirent(name: string, ino: U64, mode: number, cookie: number): boolean {
    const size = padded(SIZEOF.fuse_dirent + name.length);
    if (this.#end + size > this.#limit) return false;
    this.#direntAt(this.#take(size), name, ino, mode, cookie);
    return true;
  }

  /** Whether a struct fuse_direntplus for `name` still fits. */
  hasRoomForPlus(name: string): boolean {
    return this.#end + SIZEOF.fuse_entry_out + padded(SIZEOF.fuse_dirent + name.length) <= this.#limit;
  }

  /**
   * struct fuse_direntplus; the caller asked `hasRoomForPlus`. Without an entry its node id is 0: the kernel then
   * takes the name and learns nothing about the inode ("." and "..").
   */
  direntPlus(name: string, ino: U64, mode: number, cookie: number, entry: Entry | undefined): void {
    const at = this.#take(SIZEOF.fuse_entry_out + padded(SIZEOF.fuse_dirent + name.length));
    if (entry === undefined) this.buffer.fill(0, at, at + SIZEOF.fuse_entry_out);
    else this.#entryAt(at, entry);
    this.#direntAt(at + SIZEOF.fuse_entry_out, name, ino, mode, cookie);
  }

  #direntAt(at: number, name: string, ino: U64, mode: number, cookie: number): void {
    this.#setU64(at, ino);
    this.#setU64(at + 8, cookie);
    this.#view.setUint32(at + 16, name.length, true);
    this.#view.setUint32(at + 20, mode >>> DT_SHIFT, true);
    const end = at + SIZEOF.fuse_dirent + this.buffer.write(name, at + SIZEOF.fuse_dirent, 'latin1');
    this.buffer.fill(0, end, at + padded(SIZEOF.fuse_dirent + name.length));
  }
}
