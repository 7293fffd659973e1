/** Reads small files that may disappear at any time, such as those of /proc and /sys. */
import { readFileSync } from 'node:fs';

/** The content, one character per byte; empty if the file is missing or not readable. */
export function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
