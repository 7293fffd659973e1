/** Whether two files hold the same bytes, holes being zeros. */
import { pread } from '../../sys/syscalls.js';

const CHUNK = 256 * 1024;
const [ours, theirs] = [Buffer.allocUnsafe(CHUNK), Buffer.allocUnsafe(CHUNK)];

/** Compares two open files from their beginnings to their ends. */
export function hasSameData(a: number, b: number): boolean {
  for (let offset = 0; ; ) {
    const count = pread(a, ours, CHUNK, offset);
    const others = pread(b, theirs, CHUNK, offset);
    const length = Math.min(count, others);
    if (ours.compare(theirs, 0, length, 0, length) !== 0) return false;
    if (length === 0) return count === others;
    offset += length;
  }
}
