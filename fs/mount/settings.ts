/** What a union goes by, given what its mount is asked for and what the host allows. */
import { readFileSync } from 'node:fs';
import { toBytes } from '../sys/path-bytes.js';
import type { Stack } from '../union/layers/stack.js';
import { UNWATCHED } from '../union/nodes/trust.js';
import type { UnionSettings } from '../union/nodes/union.js';
import { changesAreSeen } from '../union/nodes/watcher.js';
import { heapLimit } from './heap.js';
import type { MountOptions } from './options.js';

const MIN_DESCRIPTORS = 64;
/** Some systems allow a thousand million; the cache reserves room for each. */
const MAX_DESCRIPTORS = 32_768;

/** What a mount of the stack goes by. Looks at the layers, and may fail: nothing is to be mounted before. */
export function settingsFor(options: MountOptions, { lowers }: Stack): UnionSettings {
  const seen = lowers.every((path) => changesAreSeen(toBytes(path)));
  return unionSettings(options, seen ? 'watch' : UNWATCHED);
}

/** @param layerChanges how they are noticed if the options do not say */
export function unionSettings(
  options: MountOptions,
  layerChanges: UnionSettings['layerChanges'],
): UnionSettings {
  return {
    volatile: options.volatile ?? false,
    descriptors: descriptorLimit(),
    nodes: options.nodes ?? nodeLimit(),
    layerChanges: options.layerChanges ?? layerChanges,
    ...(options.ownership !== undefined && { ownership: options.ownership }),
    ...(options.without !== undefined && { without: options.without }),
  };
}

/** Of the heap, a quarter: a node and what belongs to it take about a kilobyte. */
const HEAP_PER_NODE = 4096;
const nodeLimit = (): number => Math.floor(heapLimit() / HEAP_PER_NODE);

/** Half of what the process may open; the rest is for the program around the mount. */
function descriptorLimit(): number {
  const limits = readFileSync('/proc/self/limits', 'utf8');
  const soft = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? MAX_DESCRIPTORS);
  return Math.min(Math.max(Math.floor(soft / 2), MIN_DESCRIPTORS), MAX_DESCRIPTORS);
}
