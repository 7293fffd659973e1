/** A command line that asks for a mount in the background, whichever program it is for, is carried out. */
import type { Worker } from 'node:worker_threads';
import { mountCommand } from './commands/mount.js';
import { warn } from './output.js';
import { overlayRequest } from './overlay.js';
import { newProgram, runProgram } from './program.js';
import { serveInBackground } from './serving.js';

const FAILURE = 1;

export interface Call {
  /** The process that waits for this one's word. */
  readonly launcher: number;
  /** What it was called by, and its arguments. */
  readonly name: string;
  readonly words: readonly string[];
  /** What `startServingThread` gave. */
  readonly thread: Worker;
}

/** Serves until the mount ends; what went wrong is said on standard error. */
export async function mountInBackground({ launcher, name, words, thread }: Call): Promise<void> {
  const program = newProgram('unionfs', 'server of a mount in the background');
  const command = mountCommand((options) => serveInBackground(options, launcher, thread));
  program.addCommand(command);
  const request = overlayRequest(name, words, [command.name()]);
  if (request !== undefined && 'mount' in request) request.warnings.forEach(warn);
  const mount = request === undefined ? words : 'mount' in request ? ['mount', ...request.mount] : [];
  await runProgram(program, mount, FAILURE);
}
