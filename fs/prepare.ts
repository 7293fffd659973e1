/**
 * What happens before a mount: the options become a checked stack, and its directories are taken.
 *
 * Rule: everything is checked before anything is changed; making the work directory is the last act.
 */
import { closeSync, mkdirSync, openSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { MountOptions } from './index.js';
import { LOCK } from './sys/constants.js';
import { flock } from './sys/syscalls.js';
import { checkStack, defaultWork, directoryAt, type Stack, UsageError } from './union/stack.js';

/** How long a lock may still be held by a server that is ending. */
const LOCK_PATIENCE_MS = 2000;
const LOCK_RETRY_MS = 20;

export function prepare(options: MountOptions): { stack: Stack; mountpoint: string } {
  if (options.lowers.length === 0) throw new UsageError('no lower layer is given; name one with --lower');
  const lowers = options.lowers.map(directoryAt);
  const mountpoint = directoryAt(options.mountpoint);
  if (options.upper === undefined) {
    if (options.work !== undefined)
      throw new UsageError(`workdir "${options.work}" is of no use without --upper`);
    const stack = { lowers };
    checkStack(stack, mountpoint);
    return { stack, mountpoint };
  }
  const upper = directoryAt(options.upper);
  const work = realWork(options.work ?? defaultWork(upper));
  const stack = { lowers, upper, work };
  checkStack(stack, mountpoint);
  mkdirSync(work, { mode: 0o700, recursive: true });
  return { stack, mountpoint };
}

/** The real path of a work directory that may not exist yet; its parent must. */
function realWork(path: string): string {
  if (statSync(path, { throwIfNoEntry: false }) !== undefined) return directoryAt(path);
  const absolute = resolve(path);
  return join(directoryAt(dirname(absolute)), basename(absolute));
}

/** Takes upper and work for this process; the locks end with it, however it ends. */
export async function lockLayers(stack: Stack): Promise<number[]> {
  const held: number[] = [];
  for (const path of [stack.upper, stack.work]) {
    if (path === undefined) continue;
    const fd = openSync(path, 'r');
    held.push(fd);
    if (await lock(fd)) continue;
    for (const other of held) closeSync(other);
    throw new UsageError(`"${path}" is in use by another mount`);
  }
  return held;
}

async function lock(fd: number): Promise<boolean> {
  const deadline = performance.now() + LOCK_PATIENCE_MS;
  while (!flock(fd, LOCK.EX | LOCK.NB)) {
    if (performance.now() > deadline) return false;
    await setTimeout(LOCK_RETRY_MS);
  }
  return true;
}
