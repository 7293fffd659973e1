/** Small files that may be gone at any moment, as those of /proc and /sys. */
import { readFileSync } from 'node:fs';

/** One character per byte; empty for what is not there, or may not be read. */
export function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
