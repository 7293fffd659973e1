/**
 * The heap limit of a serving thread.
 *
 * Rule: V8 aborts the process when a heap is full, and its default limit does not depend on the machine's memory. The limit
 * is half of the memory: kernels that cannot be asked to forget nodes (before Linux 6.18) run short of memory themselves by
 * then, because their inodes take as much, and forget nodes.
 */
import { totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import type { ResourceLimits } from 'node:worker_threads';

const MIB = 2 ** 20;

/** Memory in bytes, of the machine or of the control group, whichever is less. */
function memory(): number {
  const constrained = process.constrainedMemory?.() ?? 0;
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}

/** Bytes that a serving thread may use; never less than V8 would give it. */
export const heapLimit = (): number => Math.max(getHeapStatistics().heap_size_limit, memory() / 2);

export const servingLimits = (): ResourceLimits => ({
  maxOldGenerationSizeMb: Math.floor(heapLimit() / MIB),
});
