/**
 * Copies a file's data between two descriptors the cheapest way the filesystems allow.
 *
 * Rule: holes stay holes, and every byte is copied or an error is thrown. Order: share extents (FICLONE), let the
 * kernel copy (copy_file_range), copy through a buffer. Compare ovl_copy_up_file in fs/overlayfs/copy_up.c.
 */
import { SEEK } from '../../sys/constants.js';
import { E, Errno, unless } from '../../sys/errno.js';
import { copyFileRange, ficlone, ftruncate, lseek, pread, pwrite } from '../../sys/syscalls.js';

const CHUNK = 128 * 1024 * 1024;
const buffer = Buffer.alloc(1024 * 1024);
/** Errors if the kernel or the two filesystems do not support copy_file_range(2). */
const CANNOT = [E.EXDEV, E.EINVAL, E.EOPNOTSUPP, E.ENOSYS, E.EPERM, E.EBADF];

/** Copies the first `size` bytes of `from`, whose length is `length`, into the empty file `to`. */
export function copyData(from: number, to: number, size: number, length: number): void {
  if (size === 0) return;
  if (size === length && ficlone(to, from)) return;
  for (const { from: start, to: end, isHole } of extentsOf(from, size)) {
    if (!isHole) copyRange(from, to, start, end);
  }
  ftruncate(to, size);
}

/** A part of a file: a hole or data; `to` is the offset after its last byte. */
export interface Extent {
  readonly from: number;
  readonly to: number;
  readonly isHole: boolean;
}

/** The first `size` bytes of a file as parts, in order. */
export function* extentsOf(fd: number, size: number): Generator<Extent> {
  for (let offset = 0; offset < size; ) {
    const data = Math.min(unless([E.ENXIO], () => seekData(fd, offset)) ?? size, size);
    if (data > offset) yield { from: offset, to: data, isHole: true };
    if (data === size) return;
    offset = Math.min(seekHole(fd, data, size), size);
    yield { from: data, to: offset, isHole: false };
  }
}

/** The next byte that is not in a hole; filesystems without the notion have no holes. */
function seekData(fd: number, offset: number): number {
  return unless([E.EINVAL, E.EOPNOTSUPP], () => lseek(fd, offset, SEEK.DATA)) ?? offset;
}

function seekHole(fd: number, offset: number, size: number): number {
  return unless([E.EINVAL, E.EOPNOTSUPP], () => lseek(fd, offset, SEEK.HOLE)) ?? size;
}

/** Copies the bytes from `start` to `end` to the same place. */
export function copyRange(from: number, to: number, start: number, end: number): void {
  let at = start;
  while (at < end) {
    const count = unless(CANNOT, () => copyFileRange(from, at, to, at, Math.min(end - at, CHUNK)));
    if (count === undefined || count === 0) break;
    at += count;
  }
  while (at < end) at += copyChunk(from, to, at, end);
}

function copyChunk(from: number, to: number, at: number, end: number): number {
  const count = pread(from, buffer, Math.min(buffer.length, end - at), at);
  if (count === 0) throw new Errno(E.EIO, 'read'); // the source shrank meanwhile
  for (let done = 0; done < count; ) done += pwrite(to, buffer.subarray(done), count - done, at + done);
  return count;
}
