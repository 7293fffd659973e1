/**
 * Writes files from streams with holes for blocks of zeros.
 *
 * Rule: blocks of zeros are not written to a new file; the caller sets its length at the end. Compare
 * sparse_copy in coreutils' copy.c (--sparse=always).
 */
import { pwrite } from './syscalls.js';

const BLOCK = 4096;
const ZEROS = Buffer.alloc(BLOCK);

/**
 * Writes bytes at an offset that was never written before.
 * @returns the end offset of the last written byte; 0 if none was written
 */
export function writeSparse(fd: number, bytes: Buffer, offset: number): number {
  let [from, end] = [0, 0];
  for (let at = 0; at < bytes.length; ) {
    const next = Math.min(at + BLOCK - ((offset + at) % BLOCK), bytes.length);
    if (isZero(bytes, at, next)) {
      if (from < at) end = writeAll(fd, bytes.subarray(from, at), offset + from);
      from = next;
    }
    at = next;
  }
  return from < bytes.length ? writeAll(fd, bytes.subarray(from), offset + from) : end;
}

const isZero = (bytes: Buffer, from: number, to: number): boolean =>
  bytes[from] === 0 && bytes[to - 1] === 0 && bytes.compare(ZEROS, 0, to - from, from, to) === 0;

function writeAll(fd: number, bytes: Buffer, offset: number): number {
  for (let done = 0; done < bytes.length; ) {
    const rest = done === 0 ? bytes : bytes.subarray(done);
    done += pwrite(fd, rest, rest.length, offset + done);
  }
  return offset + bytes.length;
}
