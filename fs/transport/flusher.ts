/**
 * fsync(2) of requests, so that a slow disk delays only the caller of fsync.
 *
 * Rules: the serving thread calls fsync(2) itself while that is fast, as on tmpfs. After the first slow call, the flusher
 * thread (`flusher-thread.ts`) takes over: it runs the calls in order, and answers the requests. It uses a duplicate of the
 * descriptor, since the node's may be closed in between. The kernel keeps the inode locked until the reply (fuse_fsync), so
 * that no later write can be reordered before it.
 */
import { Worker } from 'node:worker_threads';
import type { Flush } from '../protocol/encode.js';
import { close, duplicate } from '../sys/syscalls.js';
import { encodeFlush, type FlusherData, flushNow, STATE, type Unique } from './flush-message.js';
import { MessageRing } from './ring.js';

/** Milliseconds; using the thread costs a wake-up, 50 us between two CPUs. */
const SLOW = 1;

export class Flusher {
  readonly #device: number;
  readonly #state = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  /** To the thread; undefined until it is started. */
  #messages: MessageRing | undefined;

  /** @param device /dev/fuse */
  constructor(device: number) {
    this.#device = device;
  }

  /** The errno, or 0; "later" if the thread sends the reply. */
  flush(what: Flush, request: Unique): number | 'later' {
    if (this.#isRunning && this.#handOver(what, request)) return 'later';
    const since = performance.now();
    const error = flushNow(what);
    if (performance.now() - since > SLOW) this.#messages ??= this.#start();
    return error;
  }

  get #isRunning(): boolean {
    return Atomics.load(this.#state, 0) === STATE.RUNNING;
  }

  #handOver(what: Flush, request: Unique): boolean {
    const fd = duplicate(what.fd);
    const taken = this.#messages?.push(encodeFlush({ ...what, fd }, request)) === true;
    if (!taken) close(fd);
    return taken;
  }

  #start(): MessageRing {
    const messages = new MessageRing();
    const workerData: FlusherData = {
      fd: this.#device,
      messages: messages.shared,
      state: this.#state.buffer as SharedArrayBuffer,
    };
    const thread = new Worker(new URL('./flusher-thread.js', import.meta.url), { workerData });
    thread.on('error', () => {}); // it never ran: nothing was handed over
    return messages;
  }

  /** Waits until all queued calls are done. */
  close(): void {
    this.#messages?.stop();
    while (this.#isRunning) Atomics.wait(this.#state, 0, STATE.RUNNING);
  }
}
