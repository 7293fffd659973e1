/**
 * Mounts a union: the stack is prepared and taken, a transport attaches and serves it.
 *
 * Rule: whatever fails before the mount is usable is undone, and nothing stays locked.
 */
import { close } from '../sys/syscalls.js';
import type { Writable } from '../union/layers/layer.js';
import type { Stack } from '../union/layers/stack.js';
import { openFuse } from './attach.js';
import type { MountOptions } from './options.js';
import { prepare, take } from './prepare.js';
import { Server } from './server.js';
import type { Serving } from './supervise.js';

export interface Mount extends Serving {
  readonly stack: Stack;
  readonly mountpoint: string;
  /** Opens the file in the work directory that takes what a server in the background complains of. */
  readonly openLog: () => number | undefined;
}

/**
 * Mounts a union; it is usable when the promise settles. Throws `UsageError` for what the user can mend, before
 * anything is changed.
 */
export async function mount(options: MountOptions): Promise<Mount> {
  const { stack, mountpoint } = prepare(options);
  const start = options.transport === 'fuse-native' ? await portable(options) : kernel(mountpoint);
  const taken = await take(stack, options, start.cancel);
  try {
    const server = await start.serve(options, stack, mountpoint, taken.writable);
    taken.record();
    const { ended, released } = server;
    const unlocked = Promise.race([released, ended]).finally(taken.unlock);
    unlocked.catch(() => {}); // the same failure as `ended`, which is the caller's to handle
    const { openLog } = taken;
    return { stack, mountpoint, openLog, ended, released: unlocked, end: () => server.end() };
  } catch (error) {
    taken.undo();
    throw error;
  }
}

/** A transport that is ready to serve; `cancel` lets go of it before that. */
interface Start {
  /** Lets go of the device from here on. @param writable upper and work, which stay the caller's */
  serve(
    options: MountOptions,
    stack: Stack,
    mountpoint: string,
    writable: Writable | undefined,
  ): Promise<Serving>;
  cancel(): void;
}

function kernel(mountpoint: string): Start {
  const device = openFuse(mountpoint);
  return {
    serve: (options, stack, _, writable) => Server.start(device, options, { stack, mountpoint, writable }),
    cancel: () => close(device),
  };
}

/** Loaded when it is asked for. Throws `UsageError` for what it cannot do. */
async function portable(options: MountOptions): Promise<Start> {
  const { checkPortable, startPortable } = await import('./portable.js');
  checkPortable(options);
  return { serve: startPortable, cancel: () => {} };
}
