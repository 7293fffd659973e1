/**
 * unionfs umount: ends a mount and waits for its server, so that every layer is free when the command returns.
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
    .description('end a mount and wait for its server')
    .argument('<mountpoint>')
    .option('-l, --lazy', 'detach a busy mount; it ends when its last user leaves')
    .action(run);
}

async function run(path: string, options: { lazy?: true }): Promise<void> {
  const mountpoint = await unionMountAt(path);
  const told = await inspectMount(mountpoint);
  if (told.state === 'silent' && options.lazy !== true) {
    throw new UsageError(WITHOUT_INSPECTION.silent(mountpoint));
  }
  // Nobody can lose anything by the end of a mount that nobody serves, whoever is still inside.
  const lazy = options.lazy === true || told.state === 'gone';
  if (!detach(toBytes(mountpoint), lazy)) {
    throw new UsageError(`"${mountpoint}" is busy; end what uses it, or detach it with --lazy`);
  }
  if (told.state !== 'live' || lazy || (await ended(told.inspection.pid))) return;
  throw new UsageError(
    `"${mountpoint}" is unmounted here, but another mount namespace holds it, and so its server, pid ${told.inspection.pid}`,
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
 * A server that has ended, but whose parent has not asked for its exit status, holds nothing any more. Its main thread
 * may be ended before the others, which still close what they hold.
 */
function isZombie(pid: number): boolean {
  try {
    const mainHasEnded = / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\)/s, ''));
    return mainHasEnded && readdirSync(`/proc/${pid}/task`).length === 1;
  } catch {
    return true;
  }
}
