/** Processes as /proc shows them, and waiting for something to become true. */
import { readdirSync, readFileSync } from 'node:fs';

const PATIENCE_MS = 10_000;
const POLL_MS = 10;
const pause = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

export function sleep(milliseconds: number): void {
  Atomics.wait(pause, 0, 0, milliseconds);
}

/** Waits until `condition` holds; `what` completes "it never happened that". */
export function waitUntil(what: string, condition: () => boolean, patience = PATIENCE_MS): void {
  const deadline = performance.now() + patience;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${patience} ms: ${what}`);
    sleep(POLL_MS);
  }
}

/** Whether a process is there and has not ended; one whose parent has not asked for its exit status has. */
export function isRunning(pid: number): boolean {
  try {
    return !/ Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\)/s, ''));
  } catch {
    return false;
  }
}

/** Other processes with `text` in one of their arguments. */
export function processesNaming(text: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && commandLine(pid).includes(text) && isRunning(pid));
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return ''; // it ended meanwhile
  }
}

/** The one process that serves a mountpoint. */
export function serverOf(mountpoint: string): number {
  const [pid, ...others] = processesNaming(mountpoint);
  if (pid === undefined || others.length > 0) {
    throw new Error(`"${mountpoint}" has ${others.length + (pid === undefined ? 0 : 1)} servers`);
  }
  return pid;
}
