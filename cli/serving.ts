/**
 * A mount's server: this process, until the mount ends.
 *
 * Rule: SIGTERM, SIGINT and SIGHUP end the mount, and the server ends with it.
 */
import { writeSync } from 'node:fs';
import { type Mount, type MountOptions, mount, startServingThread } from '../fs/index.js';
import { AT, O } from '../fs/sys/constants.js';
import { close, dup2, openat } from '../fs/sys/syscalls.js';
import { openApart } from '../fs/union/layer.js';
import { LOG, toBytes } from '../fs/union/stack.js';
import { closeInherited, READY } from './background.js';

const STDERR = 2;
const END_PATIENCE_MS = 5000;

/** Mounts and serves until unmounted. Throws as `mount` does. */
export async function serve(options: MountOptions): Promise<void> {
  await start(options).then(({ ended }) => ended);
}

/** The same for who started this process to have a mount in the background. */
export async function serveInBackground(options: MountOptions): Promise<void> {
  closeInherited();
  const mounted = await start(options);
  withdraw(mounted);
  await mounted.ended;
}

async function start(options: MountOptions): Promise<Mount> {
  process.umask(0);
  const thread = options.transport === 'fuse-native' ? undefined : startServingThread();
  const mounted = await mount({ ...options, ...(thread && { thread }) });
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => void end(mounted));
  return mounted;
}

/** Ends the mount; a server that is stuck in a system call ends with its process, and the kernel cleans up. */
async function end(mounted: Mount): Promise<void> {
  const stuck = setTimeout(() => process.kill(process.pid, 'SIGKILL'), END_PATIENCE_MS);
  await mounted.end();
  clearTimeout(stuck);
}

/** Lets go of the caller: of his directory, and with a last word of his pipe. What is logged from here on goes to work, as long as layers are held. */
function withdraw({ stack, released }: Mount): void {
  process.chdir('/');
  const log = stack.work === undefined ? openNull() : openLog(stack.work);
  writeSync(STDERR, `${READY}\n`);
  redirectErrors(log);
  if (stack.work === undefined) return;
  released.then(
    () => redirectErrors(openNull()),
    () => {},
  ); // a failure is still to be logged
}

const openNull = (): number => openat(AT.FDCWD, '/dev/null', O.WRONLY);

function redirectErrors(fd: number): void {
  dup2(fd, STDERR);
  close(fd);
}

function openLog(path: string): number {
  const work = openApart(toBytes(path));
  try {
    return openat(work, LOG, O.WRONLY | O.APPEND | O.CREAT, 0o600);
  } finally {
    close(work);
  }
}
