/**
 * Reading a request: a cursor that cannot leave the message.
 *
 * Rule: short or unterminated input is one typed error, `Malformed`, whatever the opcode; the session answers it
 * with EINVAL. Names come out as latin1 strings, one character per byte.
 */
import { E, Errno } from '../sys/errno.js';
import { SIZEOF } from './abi.js';
import type { Caller, NodeId } from './filesystem.js';

/** The message is shorter than its opcode's layout, or a name in it has no NUL. */
export class Malformed extends Error {}

const TWO_32 = 2 ** 32;

/** A position in one message. Every read checks the bound. */
export class Cursor {
  readonly #bytes: Buffer;
  readonly #view: DataView;
  #at = 0;
  #end = 0;

  /** @param bytes the session's input buffer; `reset` says how much of it is the current message. */
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Starts over at the beginning of a message of `length` bytes. */
  reset(length: number): this {
    this.#at = 0;
    this.#end = length;
    return this;
  }

  /** Takes `length` bytes, such as a struct whose fields are then read with `u32At` and the like: where they begin. */
  take(length: number): number {
    const at = this.#at;
    if (length > this.#end - at)
      throw new Malformed(`the message has ${this.#end} bytes; ${length} are needed at offset ${at}`);
    this.#at = at + length;
    return at;
  }

  /** @param at where a field of a struct that was taken begins */
  u32At(at: number): number {
    return this.#view.getUint32(at, true);
  }

  u64At(at: number): number {
    return this.#view.getUint32(at + 4, true) * TWO_32 + this.#view.getUint32(at, true);
  }

  /** Seconds since 1970, signed. */
  secondsAt(at: number): number {
    return this.#view.getInt32(at + 4, true) * TWO_32 + this.#view.getUint32(at, true);
  }

  skip(length: number): void {
    this.take(length);
  }

  u16(): number {
    return this.#view.getUint16(this.take(2), true);
  }

  u32(): number {
    return this.u32At(this.take(4));
  }

  /** An identifier below 2^53, such as a node id. */
  u64(): number {
    return this.u64At(this.take(8));
  }

  /** A file offset or length; what exceeds 2^53 - 1 is more than any file holds and is clamped to it. */
  offset(): number {
    return Math.min(this.u64(), Number.MAX_SAFE_INTEGER);
  }

  /** The offset or length of a write; EFBIG beyond 2^53 - 1. */
  place(): number {
    return this.placeAt(this.take(8));
  }

  placeAt(at: number): number {
    const value = this.u64At(at);
    if (value > Number.MAX_SAFE_INTEGER) throw new Errno(E.EFBIG);
    return value;
  }

  /** A NUL-terminated name or path. */
  name(): string {
    const nul = this.#bytes.indexOf(0, this.#at);
    if (nul < 0 || nul >= this.#end) throw new Malformed(`no NUL after ${this.#at} of ${this.#end}`);
    const text = this.#bytes.toString('latin1', this.#at, nul);
    this.#at = nul + 1;
    return text;
  }

  /** `length` bytes of data; they alias the input buffer, and are valid only during the request. */
  data(length: number): Buffer {
    const at = this.take(length);
    return this.#bytes.subarray(at, at + length);
  }
}

/** struct fuse_in_header, without the lengths. `unique` is kept as two halves: it is only echoed. */
export interface RequestHeader extends Caller {
  readonly opcode: number;
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
  readonly node: NodeId;
}

export function decodeHeader(cursor: Cursor): RequestHeader {
  const at = cursor.take(SIZEOF.fuse_in_header); // starts with len: the count that read(2) returned
  return {
    opcode: cursor.u32At(at + 4),
    uniqueLow: cursor.u32At(at + 8),
    uniqueHigh: cursor.u32At(at + 12),
    node: cursor.u64At(at + 16) as NodeId,
    uid: cursor.u32At(at + 24),
    gid: cursor.u32At(at + 28),
    pid: cursor.u32At(at + 32),
  };
}

/** A device number as FUSE sends it (new_decode_dev). */
export function decodeDevice(dev: number): { major: number; minor: number } {
  return { major: (dev & 0xfff00) >>> 8, minor: (dev & 0xff) | ((dev >>> 12) & 0xfff00) };
}
