// Rule: all the harness makes lies below one private directory: every file, every mount point, and (by
// their environment) every process. Clean-up empties it by asking the kernel, not by remembering.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, processesOf, run } from './command.js';

const KILL_TIMEOUT_MS = 10_000;
const MOUNT_POINT_FIELD = 4;

export function createScratch(): string {
  const root = mkdtempSync(join(tmpdir(), 'unionfs-bench-'));
  // Mount options and layer lists separate with these, and each peer escapes them differently.
  if (/[,:\\\s]/.test(root))
    throw new Error(`TMPDIR "${tmpdir()}" has a character mount options cannot carry`);
  return root;
}

/** The mount points, oldest first (compare proc_pid_mountinfo(5): blanks are octal escapes). */
export function mountPoints(): readonly string[] {
  return readFileSync('/proc/self/mountinfo', 'latin1')
    .split('\n')
    .map((line) => line.split(' ')[MOUNT_POINT_FIELD] ?? '')
    .map((path) => path.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8))));
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}

function unmountBelow(root: string): void {
  for (const path of mountPoints().toReversed()) {
    if (!path.startsWith(`${root}/`)) continue;
    try {
      run(['umount', path]);
    } catch {
      run(['umount', '--lazy', path]);
    }
  }
}

/** Processes go first: a client caught in a mount keeps it busy, and its server keeps the client. */
export async function disposeScratch(root: string): Promise<void> {
  for (const pid of processesOf(root)) endProcess(pid);
  const ended = await eventually(() => processesOf(root).length === 0, KILL_TIMEOUT_MS);
  unmountBelow(root);
  const left = mountPoints().filter((path) => path.startsWith(`${root}/`));
  if (left.length > 0) throw new Error(`Cannot unmount "${left.join('", "')}"; "${root}" stays`);
  rmSync(root, { recursive: true, force: true });
  if (!ended) throw new Error(`Processes ${processesOf(root).join(', ')} do not end`);
}
