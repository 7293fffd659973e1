/**
 * Starts the serving thread; who is in a hurry loads nothing else before.
 *
 * Rule: the process does not end while the thread is loading: koffi aborts it then.
 */
import { Worker } from 'node:worker_threads';
import { servingLimits } from './heap.js';

/** Starts to load the serving thread of a mount that is about to come, in the calling thread's mount namespace. */
export function startServingThread(): Worker {
  const thread = new Worker(new URL('./serve.js', import.meta.url), { resourceLimits: servingLimits() });
  thread.once('message', letGo); // its first word is that it is loaded
  return thread;
}

/** Gives a thread its work, and keeps the process alive as long as it has any. */
export function give(thread: Worker, work: unknown): void {
  thread.off('message', letGo);
  thread.ref();
  thread.postMessage(work);
}

function letGo(this: Worker): void {
  this.unref();
}

/** Settles when a thread has ended; rejects with its failure. */
export function exitOf(thread: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    thread.on('error', reject);
    thread.on('exit', (code) => (code === 0 ? resolve() : reject(new Error('a thread has failed'))));
  });
}
