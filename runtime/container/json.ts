/** Small files of JSON that appear whole: written beside their place and renamed. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';

/** What a file holds; undefined if there is none. */
export function readJson<T>(path: string): T | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** A reader sees the old file or the new one. A power cut may lose either: what must not be lost is fsynced. */
export function writeJson(path: string, value: unknown, mode = 0o600): void {
  writeFileSync(`${path}.new`, JSON.stringify(value, null, 2), { mode });
  renameSync(`${path}.new`, path);
}
