// Rule: a mount is up when the kernel lists it and it has answered once; it is down when the kernel no
// longer lists it and its server has ended. Neither change of state is ever timed.

import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { runClient } from './client.js';
import { environmentOf, eventually, placed, run, serverEnvironment, serversOf } from './command.js';
import { PEERS, type Stack } from './peers.js';
import type { PeerName, Placement } from './samples.js';
import { mountPoints } from './scratch.js';

const MOUNT_TIMEOUT_MS = 20_000;
const UNMOUNT_TIMEOUT_MS = 20_000;
/** A program that still runs this long after its mount is up serves it itself. */
const LAUNCHER_TIMEOUT_MS = 500;

export interface MountRequest {
  readonly peer: PeerName;
  readonly stack: Stack;
  readonly placement: Placement;
  readonly scratch: string;
  /** Where the server writes; a pipe would fill up or end with us. */
  readonly log: string;
  readonly signal: AbortSignal;
}

const isMounted = (path: string) => mountPoints().includes(path);

function failure(request: MountRequest, what: string): Error {
  const said = readFileSync(request.log, 'utf8').trim();
  return new Error(`${request.peer}: ${what} "${request.stack.mountPoint}"${said === '' ? '' : `: ${said}`}`);
}

type LauncherState = 'running' | 'succeeded' | 'failed';

/** Starts the program that mounts; it may end once the mount is up, or stay and serve. */
function launch(request: MountRequest): () => LauncherState {
  const { stack, placement, scratch } = request;
  const [program, ...args] = placed(placement, PEERS[request.peer].mount(stack));
  const log = openSync(request.log, 'a');
  try {
    const env = serverEnvironment(scratch, stack.mountPoint);
    const launcher = spawn(program, args, { env, detached: true, stdio: ['ignore', log, log] });
    let state: LauncherState = 'running';
    launcher.on('error', () => (state = 'failed'));
    launcher.on('exit', (code) => (state = code === 0 ? 'succeeded' : 'failed'));
    return () => state;
  } finally {
    closeSync(log);
  }
}

export async function mountStack(request: MountRequest): Promise<void> {
  const { peer, stack, scratch, signal } = request;
  const launcher = launch(request);
  const up = () => isMounted(stack.mountPoint);
  await eventually(() => up() || launcher() === 'failed', MOUNT_TIMEOUT_MS, signal);
  if (launcher() === 'failed' || !up()) throw failure(request, 'cannot mount');
  await eventually(() => launcher() !== 'running', LAUNCHER_TIMEOUT_MS, signal);
  if (PEERS[peer].userspace && serversOf(stack.mountPoint).length === 0) {
    throw failure(request, 'no process serves');
  }
  const env = environmentOf(scratch, { MOUNT: stack.mountPoint });
  await runClient('stat "$MOUNT" >/dev/null', 'free', env, signal);
}

export async function unmountStack(request: MountRequest): Promise<void> {
  const { mountPoint } = request.stack;
  run(PEERS[request.peer].unmount(mountPoint));
  const ended = await eventually(
    () => !isMounted(mountPoint) && serversOf(mountPoint).length === 0,
    UNMOUNT_TIMEOUT_MS,
    request.signal,
  );
  if (!ended) throw failure(request, 'does not end after the unmount of');
}
