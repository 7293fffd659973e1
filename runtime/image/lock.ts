/**
 * Locks between processes, on this node and, where the filesystem carries flock(2) over, on others.
 *
 * Rule: a lock ends with its holder, however that ends, and its file is never removed. Waiting leaves the event loop
 * free, so that several holders may live in one process.
 */
import { closeSync, openSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { LOCK } from '../../fs/sys/constants.js';
import { flock } from '../../fs/sys/syscalls.js';

const RETRY_MS = 10;
const PRIVATE = 0o600;

/** Exclusive, or shared with other shared holders. */
export type LockMode = 'exclusive' | 'shared';

/** Runs `use` while holding a lock on a file, which is made if need be; waits for it without limit. */
export async function withLock<T>(path: string, mode: LockMode, use: () => Promise<T> | T): Promise<T> {
  const fd = openSync(path, 'a+', PRIVATE); // NFS wants a writable descriptor for an exclusive lock
  try {
    while (!flock(fd, (mode === 'exclusive' ? LOCK.EX : LOCK.SH) | LOCK.NB)) await setTimeout(RETRY_MS);
    return await use();
  } finally {
    closeSync(fd);
  }
}

/** Takes a lock for the rest of this process' life or until the descriptor is closed; undefined if another has it. */
export function tryLock(path: string): number | undefined {
  const fd = openSync(path, 'a+', PRIVATE);
  if (flock(fd, LOCK.EX | LOCK.NB)) return fd;
  closeSync(fd);
  return undefined;
}
