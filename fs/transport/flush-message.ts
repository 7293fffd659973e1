/** What the serving thread and the one that flushes (`flusher-thread.ts`) share: a message for each file, and how it is done. */
import type { RequestHeader } from '../protocol/decode.js';
import type { Flush } from '../protocol/encode.js';
import { Errno } from '../sys/errno.js';
import { flush } from '../sys/syscalls.js';

/** The thread's life, in a word of shared memory. */
export const STATE = { STARTING: 0, RUNNING: 1, ENDED: 2 } as const;

export interface FlusherData {
  /** /dev/fuse. */
  readonly fd: number;
  /** A MessageRing of `encodeFlush`. */
  readonly messages: SharedArrayBuffer;
  /** One of STATE. */
  readonly state: SharedArrayBuffer;
}

/** Which request asked. */
export type Unique = Pick<RequestHeader, 'uniqueLow' | 'uniqueHigh'>;

const SIZEOF_FLUSH = 16;

export function encodeFlush({ fd, dataOnly }: Flush, { uniqueLow, uniqueHigh }: Unique): Buffer {
  const message = Buffer.alloc(SIZEOF_FLUSH);
  message.writeInt32LE(fd, 0);
  message.writeUInt32LE(dataOnly ? 1 : 0, 4);
  message.writeUInt32LE(uniqueLow, 8);
  message.writeUInt32LE(uniqueHigh, 12);
  return message;
}

export function decodeFlush(bytes: Uint8Array): Flush & Unique {
  const message = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    fd: message.readInt32LE(0),
    dataOnly: message.readUInt32LE(4) !== 0,
    uniqueLow: message.readUInt32LE(8),
    uniqueHigh: message.readUInt32LE(12),
  };
}

/** Its errno, or 0. Whatever else is thrown is a bug. */
export function flushNow({ fd, dataOnly }: Flush): number {
  try {
    flush(fd, dataOnly);
    return 0;
  } catch (error) {
    if (error instanceof Errno) return error.code;
    throw error;
  }
}
