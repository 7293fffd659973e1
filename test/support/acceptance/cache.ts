/**
 * What is slow to make and the same every time is kept between runs, in $UNIONFS_TEST_CACHE
 * (default /var/cache/unionfs-test). An entry is made under another name and renamed when it is complete, so
 * one with the right name is never half of it.
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const DEFAULT_DIRECTORY = '/var/cache/unionfs-test';
const ROOT_MODE = 0o755;

export function cacheDirectory(): string {
  const { UNIONFS_TEST_CACHE = DEFAULT_DIRECTORY } = process.env;
  return UNIONFS_TEST_CACHE;
}

/** The directory called `name`, filled by `build` if it is not there yet. */
export function cached(name: string, build: (directory: string) => void): string {
  const entry = join(cacheDirectory(), name);
  if (!existsSync(entry)) install(entry, build);
  return realpathSync(entry);
}

/** Puts a changed entry aside: the next run makes a new one, and the damage stays to be looked at. */
export function discard(name: string): void {
  renameSync(join(cacheDirectory(), name), join(cacheDirectory(), `${name}.damaged-${Date.now()}`));
}

function install(entry: string, build: (directory: string) => void): void {
  mkdirSync(cacheDirectory(), { recursive: true });
  const temporary = mkdtempSync(`${entry}.new-`);
  try {
    chmodSync(temporary, ROOT_MODE);
    build(temporary);
    renameSync(temporary, entry);
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    if (!existsSync(entry)) throw error; // else another run was faster
  }
}
