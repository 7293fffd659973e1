/**
 * Starts a mount in the background: its server is a separate process (`server.ts`), in its own session, in "/", without the
 * caller's streams. Its standard error is a pipe until the mount is usable, and a log file after that.
 *
 * Rule: this module does not import the filesystem, which only the server loads. The launcher does the same without Node
 * (`launcher.sh`).
 */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { startable } from '../../runtime/command/byte-command.js';
import { hidden } from '../../runtime/command/call.js';
import { packageFile } from '../../runtime/host/package.js';

/** The last line of a server whose mount is usable. */
export const READY = 'ready';
const PROGRAM = 'unionfs';
const FAILURE = 1;

export type ServerProgram = 'server.js' | 'portable-server.js';

/**
 * Starts the server of `unionfs mount ARGS`, waits until it is ready or has failed, passes on its error messages, and sets
 * the exit code.
 */
export async function startServer(args: readonly string[], program: ServerProgram): Promise<void> {
  const {
    command,
    args: given,
    env,
  } = startable({
    command: process.execPath,
    args: [
      '--',
      packageFile(`dist/bin/${program}`),
      ...hidden([String(process.pid), PROGRAM, 'mount', ...args]),
    ],
    env: process.env as Record<string, string>,
  });
  const child = spawn(command, given, { env, stdio: ['ignore', 'ignore', 'pipe'] });
  const lines = (await text(child.stderr)).split(/(?<=\n)/);
  child.unref();
  const isReady = lines.at(-1) === `${READY}\n`;
  const said = lines.slice(0, isReady ? -1 : undefined).join('');
  process.stderr.write(
    isReady || said !== '' ? said : `${PROGRAM} mount: the server exited without reporting an error\n`,
  );
  if (!isReady) process.exitCode = FAILURE;
}
