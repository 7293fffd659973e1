/**
 * A mount's server: this process, until the mount ends.
 *
 * Rule: SIGTERM, SIGINT and SIGHUP end the mount, and the server ends with it.
 */
import { closeSync, readdirSync, readFileSync, readlinkSync, writeSync } from 'node:fs';
import type { Worker } from 'node:worker_threads';
import { type Mount, type MountOptions, mount, startServingThread } from '../fs/index.js';
import { AT, O } from '../fs/sys/constants.js';
import { setsid } from '../fs/sys/process.js';
import { close, dup2, openat } from '../fs/sys/syscalls.js';
import { FUSE_NATIVE_LIMITS } from '../fs/transport/fuse-native.js';
import { openApart } from '../fs/union/layer.js';
import { LOG, toBytes } from '../fs/union/stack.js';
import { READY } from './background.js';
import { warn } from './output.js';

const STDERR = 2;
const END_PATIENCE_MS = 5000;

/** Mounts and serves until unmounted. Throws as `mount` does. */
export async function serve(options: MountOptions): Promise<void> {
  const thread = options.transport === 'fuse-native' ? undefined : startServingThread();
  await start(options, thread).then(({ ended }) => ended);
}

/**
 * The same for who started this process to have a mount in the background. Who does not wait for it any more has none.
 * @param launcher the process that waits
 * @param thread what `startServingThread` gave
 */
export async function serveInBackground(
  options: MountOptions,
  launcher: number,
  thread: Worker,
): Promise<void> {
  setsid();
  closeInherited(launcher);
  if (options.transport === 'fuse-native') await thread.terminate();
  const mounted = await start(options, thread);
  try {
    withdraw(mounted);
  } catch (error) {
    await end(mounted);
    throw error;
  }
  await mounted.ended;
}

async function start(options: MountOptions, thread: Worker | undefined): Promise<Mount> {
  if (options.transport === 'fuse-native') warnOfLimits();
  process.umask(0);
  const mounted = await mount({ ...options, ...(thread && { thread }) });
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => void end(mounted));
  return mounted;
}

function warnOfLimits(): void {
  for (const limit of FUSE_NATIVE_LIMITS) warn(`mount: fuse-native: ${limit}`);
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

/** Closes what the caller had left open beside the standard streams: it is none of a server's business. */
function closeInherited(launcher: number): void {
  for (const fd of readdirSync(`/proc/${launcher}/fd`).map(Number)) {
    if (fd > STDERR && isInherited(fd, launcher)) closeSync(fd);
  }
}

/**
 * Whether a descriptor came from the launcher: it keeps it over exec, and the same is open here. Node has set the flag
 * of the first ones by now (uv_disable_stdio_inheritance), so that it tells nothing here.
 */
function isInherited(fd: number, launcher: number): boolean {
  try {
    const information = readFileSync(`/proc/${launcher}/fdinfo/${fd}`, 'latin1'); // proc(5)
    const flags = Number.parseInt(/^flags:\s*(\d+)/m.exec(information)?.[1] ?? '', 8);
    if ((flags & O.CLOEXEC) !== 0) return false;
    return readlinkSync(`/proc/self/fd/${fd}`) === readlinkSync(`/proc/${launcher}/fd/${fd}`);
  } catch {
    return false; // not open here, or not there any more
  }
}
