/**
 * The server of a mount in the background: server.js LAUNCHER NAME WORDS, the process that waits for its word, and how
 * that was called.
 *
 * Rule: its serving thread, a Node of its own, starts before anything else is loaded.
 */
import './machine.js';
import { startServingThread } from '../fs/serving-thread.js';

const thread = startServingThread();
const [, , launcher, name = '', ...words] = process.argv;
void import('./mount-in-background.js').then(({ mountInBackground }) =>
  mountInBackground({ launcher: Number(launcher), name, words, thread }),
);
