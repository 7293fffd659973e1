// Rules: the same image and command, run to their end by each program in turn; the medians are compared. Then the memory
// of an idle container: the resident set of what the program leaves running beside the command.
//
//   npm run build && node dist/bench/run/main.js [RUNS]      root; podman and runc installed

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { run } from '../command.js';

const DEFAULT_RUNS = 10;
const IMAGE = 'localhost/tiny:1';
const TSCR = fileURLToPath(new URL('../../bin/tscr', import.meta.url));
/** Podman asks for more than a machine without CAP_SYS_RESOURCE may give. */
const LIMITS = ['--ulimit', 'nofile=1000:1000', '--ulimit', 'nproc=1000:1000'];

type Peer = () => void;

function prepare(scratch: string): Readonly<Record<string, Peer>> {
  process.env['TSCR_ROOT'] = join(scratch, 'store');
  const tscr = (...args: readonly string[]): void => void run([TSCR, ...args]);
  const podman = (...args: readonly string[]): void => {
    const storage = ['--root', join(scratch, 'root'), '--runroot', join(scratch, 'run')];
    run([
      'podman',
      ...storage,
      '--storage-driver',
      'overlay',
      '--runtime',
      'runc',
      '--cgroup-manager',
      'cgroupfs',
      ...args,
    ]);
  };
  tscr('image', 'from-host', 'true', 'sleep', '-t', IMAGE);
  tscr('save', '-o', join(scratch, 'tiny.tar'), IMAGE);
  podman('load', '-q', '-i', join(scratch, 'tiny.tar'));
  const driver = (name: string) => () => tscr('run', '--rm', '--storage-driver', name, IMAGE, 'true');
  return {
    'tscr (unionfs)': driver('unionfs'),
    'tscr (overlay)': driver('overlay'),
    'podman (runc)': () => podman('run', '--rm', '--network', 'host', ...LIMITS, IMAGE, 'true'),
  };
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;

const IDLE_S = 4;
const MS_PER_S = 1000;
const KIB_PER_MIB = 1024;

/** Resident set of a process in KiB (proc_pid_status(5)). */
const residentSet = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);

/** A supervisor with a command that sleeps, once both have come to rest. */
async function idleSupervisor(): Promise<number> {
  const child = spawn(TSCR, ['run', '--rm', IMAGE, 'sleep', String(IDLE_S)], {
    stdio: 'ignore',
  });
  await setTimeout((IDLE_S * MS_PER_S) / 2);
  const used = residentSet(child.pid ?? 0);
  await once(child, 'exit');
  return used;
}

async function main(runs: number): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), 'tscr-bench-'));
  try {
    const peers = Object.entries(prepare(scratch));
    const times = new Map(peers.map(([name]) => [name, [] as number[]]));
    for (let round = 0; round < runs; round++) {
      for (const [name, peer] of peers) {
        const start = performance.now();
        peer();
        times.get(name)?.push(performance.now() - start);
      }
    }
    for (const [name, values] of times)
      process.stdout.write(`${name.padEnd(16)} ${median(values).toFixed(0)} ms\n`);
    const used = await idleSupervisor();
    process.stdout.write(`an idle container: ${(used / KIB_PER_MIB).toFixed(0)} MiB resident\n`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

await main(Number(process.argv[2] ?? DEFAULT_RUNS));
