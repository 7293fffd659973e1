/**
 * Starts the serving thread. This module imports little, so that a thread can be started early.
 *
 * Rule: the process must not exit while the thread is loading, because koffi would abort.
 */
import { Worker } from 'node:worker_threads';
import { servingLimits } from './heap.js';

/** Starts a serving thread for a later mount, in the current mount namespace. */
export function startServingThread(): Worker {
  const thread = new Worker(new URL('./serve.js', import.meta.url), { resourceLimits: servingLimits() });
  thread.once('message', letGo); // the first message means that it is loaded
  return thread;
}

/** Sends a thread its work, and keeps the process alive until it is done. */
export function give(thread: Worker, work: unknown): void {
  thread.off('message', letGo);
  thread.ref();
  thread.postMessage(work);
}

function letGo(this: Worker): void {
  this.unref();
}

/** Resolves when a thread has exited; rejects with its error. */
export function exitOf(thread: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    thread.on('error', reject);
    thread.on('exit', (code) =>
      code === 0 ? resolve() : reject(new Error('a thread of the server failed')),
    );
  });
}
