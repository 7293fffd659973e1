/**
 * Locks between processes on this node and, if the filesystem supports flock(2) over the network, on others.
 *
 * Rule: a lock is released when its process ends for any reason, and its file is never removed. Waiting does not block the
 * event loop, so that one process can hold several locks.
 */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { UsageError } from '../../../fs/index.js';
import { openRegular } from '../../../fs/input/regular-file.js';
import { LOCK } from '../../../fs/sys/constants.js';
import { flock } from '../../../fs/sys/syscalls.js';

const RETRY_MS = 10;
const PRIVATE = 0o600;

/** Exclusive, or shared with other shared holders. */
export type LockMode = 'exclusive' | 'shared';

/** Runs `use` under a lock on a file, which is created if missing; waits for it without limit. */
export async function withLock<T>(path: string, mode: LockMode, use: () => Promise<T> | T): Promise<T> {
  const fd = openLock(path);
  try {
    await take(fd, mode);
    return await use();
  } finally {
    closeSync(fd);
  }
}

/** The same with a shared lock on a store that may be read-only; without a lock file there is no writer. */
export async function withReadLock<T>(path: string, use: () => Promise<T> | T): Promise<T> {
  let fd: number;
  try {
    fd = openRegular(path);
  } catch {
    return use();
  }
  try {
    await take(fd, 'shared');
    return await use();
  } finally {
    closeSync(fd);
  }
}

async function take(fd: number, mode: LockMode): Promise<void> {
  while (!flock(fd, (mode === 'exclusive' ? LOCK.EX : LOCK.SH) | LOCK.NB)) await setTimeout(RETRY_MS);
}

const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;

/** NFS needs a writable descriptor for an exclusive lock. Only a regular file is opened. */
function openLock(path: string): number {
  const fd = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, PRIVATE);
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw new UsageError(`"${path}" is not a regular file`);
}

/** Takes a lock for the rest of this process' life or until the descriptor is closed; undefined if another has it. */
export function tryLock(path: string): number | undefined {
  const fd = openLock(path);
  if (flock(fd, LOCK.EX | LOCK.NB)) return fd;
  closeSync(fd);
  return undefined;
}
