/**
 * unionfs umount: unmounts and waits for the server to exit, so that all layers are unlocked when the command returns.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { Command } from 'commander';
import { UsageError } from '../../../fs/index.js';
import { toBytes } from '../../../fs/sys/path-bytes.js';
import { detach } from '../../../fs/transport/device.js';
import { inspectMount, unionMountAt, WITHOUT_INSPECTION } from '../mounts.js';

const POLL_MS = 5;
const PATIENCE_MS = 10_000;

export function umountCommand(): Command {
  return new Command('umount')
    .alias('unmount')
    .description('unmount, and wait until the server has exited')
    .argument('<mountpoint>')
    .option('-l, --lazy', 'detach a busy mount; it ends when the last process stops using it')
    .action(run);
}

async function run(path: string, options: { lazy?: true }): Promise<void> {
  const mountpoint = await unionMountAt(path);
  const mountState = await inspectMount(mountpoint);
  if (mountState.state === 'silent' && options.lazy !== true) {
    throw new UsageError(WITHOUT_INSPECTION.silent(mountpoint));
  }
  // A lazy unmount of a mount without a server loses nothing.
  const lazy = options.lazy === true || mountState.state === 'gone';
  if (!detach(toBytes(mountpoint), lazy)) {
    throw new UsageError(`"${mountpoint}" is busy; stop the processes that use it, or detach it with --lazy`);
  }
  if (mountState.state !== 'live' || lazy || (await ended(mountState.inspection.pid))) return;
  throw new UsageError(
    `"${mountpoint}" is unmounted here, but another mount namespace still has it mounted, so its server (pid ${mountState.inspection.pid}) is still running`,
  );
}

/** Waits for a process to end; false if it takes too long. */
async function ended(pid: number): Promise<boolean> {
  const deadline = performance.now() + PATIENCE_MS;
  while (isAlive(pid)) {
    if (performance.now() > deadline) return false;
    await setTimeout(POLL_MS);
  }
  return true;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !isZombie(pid);
  } catch {
    return false;
  }
}

/**
 * A zombie has no open files any more. Its main thread may exit before other threads, which still close descriptors.
 */
function isZombie(pid: number): boolean {
  try {
    const mainHasEnded = / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\)/s, ''));
    return mainHasEnded && readdirSync(`/proc/${pid}/task`).length === 1;
  } catch {
    return true;
  }
}
