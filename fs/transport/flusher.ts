/**
 * fsync(2) for requests, so that a slow disk holds up nobody but who asked for it.
 *
 * Rules: the serving thread does it itself as long as it takes no time worth telling, as on tmpfs. After the first that
 * does, a thread of its own (`flusher-thread.ts`) does them, in the order in which they came, and answers the requests.
 * It works on a duplicate of the descriptor: the node's may be closed meanwhile. The kernel keeps the inode locked until
 * the answer (fuse_fsync), so nothing overtakes it that it should have made durable.
 */
import { Worker } from 'node:worker_threads';
import type { Flush } from '../protocol/encode.js';
import { close, duplicate } from '../sys/syscalls.js';
import { encodeFlush, type FlusherData, flushNow, STATE, type Unique } from './flush-message.js';
import { MessageRing } from './ring.js';

/** Milliseconds; handing over costs a wake-up, 50 us between two CPUs. */
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

  /** Gives the errno, or 0; "later" if the thread answers. */
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

  /** Waits until everything that was handed over is done. */
  close(): void {
    this.#messages?.stop();
    while (this.#isRunning) Atomics.wait(this.#state, 0, STATE.RUNNING);
  }
}
