/**
 * The heap of a thread that serves a mount.
 *
 * Rule: V8 aborts the whole process when a heap is full, and its own limit has little to do with the machine's memory. So
 * the limit is half of that: where the kernel cannot be asked to forget nodes (before Linux 6.18), it is short of memory
 * itself by then, as its inodes take as much, and forgets them.
 */
import { totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import type { ResourceLimits } from 'node:worker_threads';

const MIB = 2 ** 20;

/** Bytes: of the machine, or of the cgroup if that has less. */
function memory(): number {
  const constrained = process.constrainedMemory?.() ?? 0;
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}

/** Bytes that a serving thread may use; never less than V8 would give it. */
export const heapLimit = (): number => Math.max(getHeapStatistics().heap_size_limit, memory() / 2);

export const servingLimits = (): ResourceLimits => ({
  maxOldGenerationSizeMb: Math.floor(heapLimit() / MIB),
});
