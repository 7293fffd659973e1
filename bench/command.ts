// Rule: a command that fails says what it was and what it printed, and none runs for ever. Every process
// carries the scratch directory in its environment, so that clean-up finds all it started and no other.

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Placement } from './samples.js';

const SCRATCH_VARIABLE = 'UNIONFS_BENCH_SCRATCH';
const MOUNT_VARIABLE = 'UNIONFS_BENCH_SERVES';
const PINNED_CPU = '0';
const COMMAND_TIMEOUT_MS = 300_000;
const POLL_MS = 5;

export type Command = readonly [program: string, ...args: string[]];

/** Runs a command to its end and returns its output. */
export function run([program, ...args]: Command): string {
  const result = spawnSync(program, args, { encoding: 'utf8', timeout: COMMAND_TIMEOUT_MS });
  if (result.error !== undefined) throw new Error(`Cannot run "${program}": ${result.error.message}`);
  if (result.status !== 0) {
    throw new Error(`"${[program, ...args].join(' ')}" failed: ${result.stderr.trim()}`);
  }
  return result.stdout.trim();
}

export function placed(placement: Placement, command: Command): Command {
  return placement === 'pinned' ? ['taskset', '-c', PINNED_CPU, ...command] : command;
}

export function environmentOf(scratch: string, extra: Record<string, string> = {}): NodeJS.ProcessEnv {
  return { ...process.env, [SCRATCH_VARIABLE]: scratch, ...extra };
}

/** Marks the server of a mount, which may be a child of our child and outlive it. */
export function serverEnvironment(scratch: string, mountPoint: string): NodeJS.ProcessEnv {
  return environmentOf(scratch, { [MOUNT_VARIABLE]: mountPoint });
}

const partsOf = (pid: string, file: 'environ' | 'cmdline'): readonly string[] =>
  readFileSync(`/proc/${pid}/${file}`, 'latin1').split('\0');

/** Our servers get nothing of the caller's environment; their words, each behind "=", name the stack (`cli/launcher.sh`). */
const namesPath = (words: readonly string[], path: string): boolean =>
  words.some((word) => word === `=${path}` || word.startsWith(`=${path}/`));

function processesWith(variable: string, value: string): readonly number[] {
  const wanted = `${variable}=${value}`;
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        return partsOf(pid, 'environ').includes(wanted) || namesPath(partsOf(pid, 'cmdline'), value);
      } catch {
        return false; // It ended while we looked.
      }
    })
    .map(Number);
}

export const serversOf = (mountPoint: string) => processesWith(MOUNT_VARIABLE, mountPoint);
export const processesOf = (scratch: string) => processesWith(SCRATCH_VARIABLE, scratch);

/** Waits for a condition; false when it did not come true in time. */
export async function eventually(
  condition: () => boolean,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    signal?.throwIfAborted();
    if (performance.now() > deadline) return false;
    await sleep(POLL_MS);
  }
  return true;
}
