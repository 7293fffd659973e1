/**
 * A running mount on the main thread: starts the threads, and unmounts.
 *
 * Rules: the mount is reported as usable when INIT is answered. It has ended when the serving thread has exited, with all
 * descriptors of the layers closed.
 */
import type { Worker } from 'node:worker_threads';
import { toBytes } from '../sys/path-bytes.js';
import { detach } from '../transport/device.js';
import type { Writable } from '../union/layers/layer.js';
import type { Stack } from '../union/layers/stack.js';
import { attachFuse } from './attach.js';
import type { MountOptions } from './options.js';
import type { ServeMessage } from './serve.js';
import { attachedOf, type ServeData, serveData } from './serve-data.js';
import { exitOf, give, startServingThread } from './serving-thread.js';
import { settingsFor } from './settings.js';
import { type Serving, type Supervision, supervise } from './supervise.js';

export interface Served {
  readonly stack: Stack;
  readonly mountpoint: string;
  /** Open descriptors of upper and work; the caller closes them. */
  readonly writable: Writable | undefined;
}

export class Server implements Serving {
  readonly ended: Promise<void>;
  /** Never settles, if the server failed. */
  readonly released: Promise<void>;
  readonly #supervision: Supervision;
  readonly #ready: Promise<void>;

  /** Mounts the device and takes it over (see `attachFuse`); waits until the mount is usable. */
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
      throw new Error('the filesystem was unmounted before it was usable');
    });
    this.#ready = Promise.race([told(serving, 'ready'), early]);
    this.released = told(serving, 'released');
    early.catch(() => {}); // after that, unmounting is not an error
  }

  end(): Promise<void> {
    return this.#supervision.end();
  }
}

function told(worker: Worker, what: ServeMessage): Promise<void> {
  return new Promise((resolve) => {
    worker.on('message', (message: ServeMessage) => message === what && resolve());
  });
}
