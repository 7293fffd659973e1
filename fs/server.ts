/**
 * A running mount as the main thread sees it: starts the threads, ends the mount.
 *
 * Rules: the mount is announced when INIT is answered, not before. It is over when the serving thread is: by then
 * every descriptor of its layers is closed.
 */
import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { attachFuse } from './attach.js';
import type { MountOptions } from './index.js';
import type { ServeData, ServeMessage } from './serve.js';
import { give, startServingThread } from './serving-thread.js';
import { close, eventfd, signalEventfd } from './sys/syscalls.js';
import { detach } from './transport/device.js';
import type { NotifierData } from './transport/notifier.js';
import { MessageRing } from './transport/ring.js';
import { changesAreSeen } from './union/changes.js';
import { type Stack, toBytes } from './union/stack.js';
import type { UnionSettings } from './union/state.js';

/** How long processes inside a detached mount may go on. */
export const DETACH_GRACE_MS = 1000;
/** Seconds after which layers are looked at again that cannot be watched. */
const UNWATCHABLE_TTL = 1;
const MIN_DESCRIPTORS = 64;
/** Some systems allow a thousand million; the cache reserves room for each. */
const MAX_DESCRIPTORS = 32_768;

export class Server {
  /** Settles when the serving thread has ended; rejects if it failed. */
  readonly ended: Promise<void>;
  /** Settles as soon as the serving thread has closed the layers' descriptors; never, if it failed. */
  readonly released: Promise<void>;
  readonly #mountpoint: string;
  readonly #stop: number;
  readonly #ready: Promise<void>;

  /** Mounts the device, which is the server's from here on (see `attachFuse`), and waits until the mount is usable. */
  static async start(
    device: number,
    options: MountOptions,
    stack: Stack,
    mountpoint: string,
  ): Promise<Server> {
    const seen = stack.lowers.every((path) => changesAreSeen(toBytes(path)));
    const fd = attachFuse(device, options, stack, mountpoint);
    const server = new Server(fd, seen, options, stack, mountpoint);
    try {
      await server.#ready;
      return server;
    } catch (error) {
      detach(toBytes(mountpoint), true);
      throw error;
    }
  }

  private constructor(fd: number, seen: boolean, options: MountOptions, stack: Stack, mountpoint: string) {
    this.#mountpoint = toBytes(mountpoint);
    this.#stop = eventfd();
    const ring = new MessageRing();
    const data = serveData(fd, this.#stop, ring, seen, options, stack);
    const serving = options.thread ?? startServingThread();
    give(serving, data);
    const notifierData: NotifierData = { fd, shared: ring.shared };
    const hasNews = data.settings.layerChanges === 'watch';
    const notifier = hasNews
      ? new Worker(new URL('./transport/notifier.js', import.meta.url), { workerData: notifierData })
      : undefined;
    this.ended = exitOf(serving)
      .finally(() => {
        ring.stop();
        return notifier && exitOf(notifier);
      })
      .finally(() => {
        close(fd); // the last descriptor: whoever is still inside a detached mount is cut off
        close(this.#stop);
      })
      .catch((failure: unknown) => {
        detach(this.#mountpoint, true); // nobody serves it any more
        throw failure;
      });
    const early = this.ended.then(() => {
      throw new Error('the mount ended before it was usable');
    });
    this.#ready = Promise.race([told(serving, 'ready'), early]);
    this.released = told(serving, 'released');
    early.catch(() => {}); // after the announcement the end is no error
  }

  /** Unmounts; who is still inside keeps the detached mount for a moment. */
  async end(): Promise<void> {
    if (!detach(this.#mountpoint, false)) {
      detach(this.#mountpoint, true);
      const over = this.ended.then(() => true);
      if (!(await Promise.race([over, setTimeout(DETACH_GRACE_MS, false, { ref: false })]))) {
        signalEventfd(this.#stop);
      }
    }
    await this.ended;
  }
}

function told(worker: Worker, what: ServeMessage): Promise<void> {
  return new Promise((resolve) => {
    worker.on('message', (message: ServeMessage) => message === what && resolve());
  });
}

function exitOf(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.on('error', reject);
    worker.on('exit', () => resolve());
  });
}

function serveData(
  fd: number,
  stop: number,
  ring: MessageRing,
  seen: boolean,
  options: MountOptions,
  stack: Stack,
): ServeData {
  return {
    fd,
    stop,
    stack,
    settings: unionSettings(options, seen ? 'watch' : UNWATCHABLE_TTL),
    flags: options.flags ?? 0,
    writeback: options.writeback ?? false,
    trace: options.trace ?? false,
    virtualOwners: options.virtualOwners,
    notifications: ring.shared,
  };
}

/** @param layerChanges how they are noticed if the options do not say */
export function unionSettings(
  options: MountOptions,
  layerChanges: UnionSettings['layerChanges'],
): UnionSettings {
  return {
    volatile: options.volatile ?? false,
    descriptors: descriptorLimit(),
    layerChanges: options.layerChanges ?? layerChanges,
    ...(options.ownership !== undefined && { ownership: options.ownership }),
  };
}

/** Half of what the process may open; the rest is for the program around the mount. */
function descriptorLimit(): number {
  const limits = readFileSync('/proc/self/limits', 'utf8');
  const soft = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? MAX_DESCRIPTORS);
  return Math.min(Math.max(Math.floor(soft / 2), MIN_DESCRIPTORS), MAX_DESCRIPTORS);
}
