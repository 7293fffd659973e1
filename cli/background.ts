/**
 * A mount in the background: its server is a process of its own, in its own session, at "/", with none of the
 * caller's streams. Its standard error is a pipe until the mount is usable, and a log from then on.
 *
 * Rule: nothing is imported that loads the filesystem. The server loads it, and nobody waits for that twice.
 */
import { spawn } from 'node:child_process';
import { closeSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { text } from 'node:stream/consumers';

/** The last line of a server whose mount is usable. */
export const READY = 'ready';
/** The option of `unionfs mount` that makes it such a server. */
export const SERVER_OPTION = '--in-background';
const FAILURE = 1;
const STDERR = 2;

/** Starts `unionfs mount ARGS` and waits for its word; hands on what it complains of, and sets the exit code. */
export async function startServer(args: readonly string[]): Promise<void> {
  const script = realpathSync(process.argv[1] ?? ''); // its other names stand for other command lines
  const child = spawn(process.execPath, [...process.execArgv, script, 'mount', SERVER_OPTION, ...args], {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const lines = (await text(child.stderr)).split(/(?<=\n)/);
  child.unref();
  const isReady = lines.at(-1) === `${READY}\n`;
  const said = lines.slice(0, isReady ? -1 : undefined).join('');
  process.stderr.write(isReady || said !== '' ? said : 'mount: the server ended without a word\n');
  if (!isReady) process.exitCode = FAILURE;
}

const O_CLOEXEC = 0o2000000;

/** Closes what the caller had left open beside the standard streams: it is none of a server's business. */
export function closeInherited(): void {
  for (const fd of readdirSync('/proc/self/fd').map(Number)) {
    if (fd > STDERR && isInherited(fd)) closeSync(fd);
  }
}

/** Whatever this program has opened itself is closed on exec (proc(5), "fdinfo"). */
function isInherited(fd: number): boolean {
  let information: string;
  try {
    information = readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1');
  } catch {
    return false; // what listed the descriptors
  }
  const flags = Number.parseInt(/^flags:\s*(\d+)/m.exec(information)?.[1] ?? '', 8);
  return (flags & O_CLOEXEC) === 0;
}
