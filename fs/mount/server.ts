/**
 * A running mount as the main thread sees it: starts the threads, ends the mount.
 *
 * Rules: the mount is announced when INIT is answered, not before. It is over when the serving thread is: by then
 * every descriptor of its layers is closed.
 */
import { readFileSync } from 'node:fs';
import type { Worker } from 'node:worker_threads';
import type { MountOptions } from '../index.js';
import { toBytes } from '../sys/path-bytes.js';
import { eventfd } from '../sys/syscalls.js';
import { detach } from '../transport/device.js';
import type { Writable } from '../union/layers/layer.js';
import type { Stack } from '../union/layers/stack.js';
import { UNWATCHED, type UnionSettings } from '../union/nodes/union.js';
import { changesAreSeen } from '../union/nodes/watcher.js';
import { attachFuse } from './attach.js';
import { heapLimit } from './heap.js';
import type { ServeMessage } from './serve.js';
import type { ServeData } from './serve-union.js';
import { exitOf, give, startServingThread } from './serving-thread.js';
import { type Attached, type Supervision, supervise } from './supervise.js';

const MIN_DESCRIPTORS = 64;
/** Some systems allow a thousand million; the cache reserves room for each. */
const MAX_DESCRIPTORS = 32_768;

export interface Served {
  readonly stack: Stack;
  readonly mountpoint: string;
  /** The stack's upper and work, open; they stay the caller's. */
  readonly writable: Writable | undefined;
}

export class Server {
  /** Settles when the serving thread has ended; rejects if it failed. */
  readonly ended: Promise<void>;
  /** Settles as soon as the serving thread has closed the layers' descriptors; never, if it failed. */
  readonly released: Promise<void>;
  readonly #supervision: Supervision;
  readonly #ready: Promise<void>;

  /** Mounts the device, which is the server's from here on (see `attachFuse`), and waits until the mount is usable. */
  static async start(
    device: number,
    options: MountOptions,
    { stack, mountpoint, writable }: Served,
  ): Promise<Server> {
    const settings = settingsFor(options, stack);
    const fd = attachFuse(device, options, stack, mountpoint);
    const server = new Server(serveData(fd, settings, options, stack, writable), options, mountpoint);
    try {
      await server.#ready;
      return server;
    } catch (error) {
      detach(toBytes(mountpoint), true);
      throw error;
    }
  }

  private constructor(data: ServeData, options: MountOptions, mountpoint: string) {
    const serving = options.thread ?? startServingThread();
    give(serving, data);
    this.#supervision = supervise(attachedOf(data, mountpoint), exitOf(serving));
    this.ended = this.#supervision.ended;
    const early = this.ended.then(() => {
      throw new Error('the mount ended before it was usable');
    });
    this.#ready = Promise.race([told(serving, 'ready'), early]);
    this.released = told(serving, 'released');
    early.catch(() => {}); // after the announcement the end is no error
  }

  /** Unmounts; who is still inside keeps the detached mount for a moment. */
  end(): Promise<void> {
    return this.#supervision.end();
  }
}

function told(worker: Worker, what: ServeMessage): Promise<void> {
  return new Promise((resolve) => {
    worker.on('message', (message: ServeMessage) => message === what && resolve());
  });
}

/** What supervising a mount takes of what serving it takes. */
export const attachedOf = ({ fd, stop }: ServeData, mountpoint: string): Attached => ({
  fd,
  stop,
  mountpoint: toBytes(mountpoint),
});

/** @param fd /dev/fuse, attached to the mountpoint */
export function serveData(
  fd: number,
  settings: UnionSettings,
  options: MountOptions,
  stack: Stack,
  writable: Writable | undefined,
): ServeData {
  return {
    fd,
    stop: eventfd(),
    stack,
    writable,
    settings,
    flags: options.flags ?? 0,
    writeback: options.writeback ?? false,
    trace: options.trace ?? false,
    virtualOwners: options.virtualOwners,
  };
}

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
