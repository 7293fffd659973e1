// Rule: a client is one shell script, timed from before its process exists until after it is gone. It
// must succeed in silence: anything on stderr is a failure, because a pipeline hides the exit status of
// all but its last command, but not their complaints.

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { placed } from './command.js';
import type { Placement } from './samples.js';

const CLIENT_TIMEOUT_MS = 600_000;
const NANOSECONDS_PER_MILLISECOND = 1e6;

export interface ClientResult {
  readonly milliseconds: number;
  readonly stdout: string;
}

type Client = ChildProcessByStdio<null, Readable, Readable>;

/** Reads a stream beside the run and returns what has come so far. */
function collect(stream: Readable): () => string {
  let text = '';
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  return () => text.trim();
}

/** In a process group of its own: this ends the whole pipeline, and Ctrl-C reaches only the harness. */
function killGroup(client: Client): void {
  if (client.pid === undefined || client.exitCode !== null) return;
  try {
    process.kill(-client.pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}

/** Rejects at once when stopped: a client caught in a dead FUSE request ends only when the server does. */
function exitOf(client: Client, stop: AbortSignal): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      killGroup(client);
      reject(stop.reason);
    };
    stop.addEventListener('abort', onAbort);
    client.on('error', reject);
    client.on('close', (code) => {
      stop.removeEventListener('abort', onAbort);
      resolve(code);
    });
  });
}

export async function runClient(
  script: string,
  placement: Placement,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<ClientResult> {
  signal.throwIfAborted();
  const [program, ...args] = placed(placement, ['sh', '-c', script]);
  const stop = AbortSignal.any([signal, AbortSignal.timeout(CLIENT_TIMEOUT_MS)]);
  const start = process.hrtime.bigint();
  const client = spawn(program, args, { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const stdout = collect(client.stdout);
  const stderr = collect(client.stderr);
  const status = await exitOf(client, stop);
  const milliseconds = Number(process.hrtime.bigint() - start) / NANOSECONDS_PER_MILLISECOND;
  if (status !== 0 || stderr() !== '') throw new Error(`"${script}" failed (${status}): ${stderr()}`);
  return { milliseconds, stdout: stdout() };
}
