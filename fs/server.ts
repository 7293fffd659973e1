/**
 * A running mount as the main thread sees it: starts the threads, ends the mount.
 *
 * Rules: the mount is announced when INIT is answered, not before. It is over when the serving thread is: by then
 * every descriptor of its layers is closed.
 */
import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { MountOptions } from './index.js';
import type { ServeData, ServeMessage } from './serve.js';
import { MS } from './sys/constants.js';
import { E, Errno } from './sys/errno.js';
import { close, eventfd, signalEventfd } from './sys/syscalls.js';
import { attach, detach, openDevice } from './transport/device.js';
import type { NotifierData } from './transport/notifier.js';
import { NotifyRing } from './transport/notify.js';
import { changesAreSeen } from './union/changes.js';
import { joinLayers, type Stack, toBytes, UsageError } from './union/stack.js';

/** How long processes inside a detached mount may go on. */
const DETACH_GRACE_MS = 1000;
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

  /** Mounts the device `fd`, which is the server's from here on, and waits until the mount is usable. */
  static async start(fd: number, options: MountOptions, stack: Stack, mountpoint: string): Promise<Server> {
    attachFuse(fd, options, stack, mountpoint);
    const server = new Server(fd, options, stack, mountpoint);
    try {
      await server.#ready;
      return server;
    } catch (error) {
      detach(toBytes(mountpoint), true);
      throw error;
    }
  }

  private constructor(fd: number, options: MountOptions, stack: Stack, mountpoint: string) {
    this.#mountpoint = toBytes(mountpoint);
    this.#stop = eventfd();
    const ring = new NotifyRing();
    const data = serveData(fd, this.#stop, ring, options, stack);
    const serving = start('./serve.js', data);
    const notifierData: NotifierData = { fd, shared: ring.shared };
    const hasNews = data.settings.layerChanges === 'watch';
    const notifier = hasNews ? start('./transport/notifier.js', notifierData) : undefined;
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

function start(module: string, workerData: unknown): Worker {
  return new Worker(new URL(module, import.meta.url), { workerData });
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
  ring: NotifyRing,
  options: MountOptions,
  stack: Stack,
): ServeData {
  const seen = stack.lowers.every((path) => changesAreSeen(toBytes(path)));
  return {
    fd,
    stop,
    stack,
    settings: {
      volatile: options.volatile ?? false,
      descriptors: descriptorLimit(),
      layerChanges: options.layerChanges ?? (seen ? 'watch' : UNWATCHABLE_TTL),
    },
    flags: options.flags ?? 0,
    writeback: options.writeback ?? false,
    trace: options.trace ?? false,
    notifications: ring.shared,
  };
}

/** Half of what the process may open; the rest is for the program around the mount. */
function descriptorLimit(): number {
  const limits = readFileSync('/proc/self/limits', 'utf8');
  const soft = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? MAX_DESCRIPTORS);
  return Math.min(Math.max(Math.floor(soft / 2), MIN_DESCRIPTORS), MAX_DESCRIPTORS);
}

/** Opens the device, or says what to do. */
export function openFuse(): number {
  try {
    return openDevice();
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    if ([E.ENOENT, E.ENODEV, E.ENXIO].includes(error.code)) {
      throw new UsageError('/dev/fuse is missing; load its module with "modprobe fuse"');
    }
    if ([E.EACCES, E.EPERM].includes(error.code)) {
      throw new UsageError(`/dev/fuse is not readable by uid ${process.getuid?.()}; run as root`);
    }
    throw error;
  }
}

function attachFuse(fd: number, options: MountOptions, stack: Stack, mountpoint: string): void {
  const flags = (options.flags ?? 0) | (stack.upper === undefined ? MS.RDONLY : 0);
  try {
    attach(fd, toBytes(mountpoint), toBytes(options.source ?? describe(stack)), flags);
  } catch (error) {
    close(fd);
    if (error instanceof Errno && error.code === E.EPERM) {
      throw new UsageError(`uid ${process.getuid?.()} may not mount on "${mountpoint}"; run as root`);
    }
    throw error;
  }
}

/** What /proc/mounts shows as source. */
function describe({ lowers, upper, work }: Stack): string {
  const layers = `lowerdir=${joinLayers(lowers)}`;
  return upper === undefined || work === undefined
    ? layers
    : `${layers},upperdir=${joinLayers([upper])},workdir=${joinLayers([work])}`;
}
