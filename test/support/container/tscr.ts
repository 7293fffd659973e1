/**
 * `tscr` as a user calls it, on a store of its own.
 *
 * Rule: everything it starts names the store, so what is left of it can be counted.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { assert } from 'chai';
import type { Outcome } from '../mount/place.js';

/** The root of this package. */
export const PACKAGE = fileURLToPath(new URL('../../../..', import.meta.url)).replace(/\/$/, '');
const CLI = `${PACKAGE}/dist/bin/tscr`;
const TIMEOUT_MS = 60_000;
const OUTPUT_MAX = 64 * 1024 * 1024;

/** A command that is running. */
export interface Running {
  readonly ended: Promise<number | null>;
  /** Settles when the command has written `text`. */
  says(text: string): Promise<void>;
  signal(name: NodeJS.Signals): void;
}

export class Tscr {
  readonly #environment: NodeJS.ProcessEnv;
  readonly #root: string;
  readonly #run: string;

  /** @param root the store @param run the node's own state */
  constructor(root: string, run: string) {
    this.#root = root;
    this.#run = run;
    this.#environment = { ...process.env, TSCR_ROOT: root, TSCR_RUN: run };
  }

  run(
    args: readonly string[],
    {
      input = '',
      timeoutMs = TIMEOUT_MS,
      within = [],
    }: { input?: string; timeoutMs?: number; within?: readonly string[] } = {},
  ): Outcome {
    const [command = CLI, ...words] = [...within, CLI, ...args];
    const { status, stdout, stderr, error } = spawnSync(command, words, {
      env: this.#environment,
      input,
      encoding: 'utf8',
      timeout: timeoutMs,
      maxBuffer: OUTPUT_MAX,
      killSignal: 'SIGKILL',
    });
    if (error !== undefined) throw error;
    return { status, stdout, stderr };
  }

  /** What it writes; it must succeed without a word on standard error. */
  succeed(args: readonly string[]): string {
    const { status, stdout, stderr } = this.run(args);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' }, `tscr ${args.join(' ')}`);
    return stdout;
  }

  start(args: readonly string[]): Running {
    const child = spawn(CLI, args, {
      env: this.#environment,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    return {
      ended: new Promise((resolve) =>
        child.once('exit', (code, signal) => resolve(code ?? (signal && null))),
      ),
      says: (text) => saying(child, text),
      signal: (name) => void child.kill(name),
    };
  }

  /** Processes whose mounts, files or arguments are the store's, each a line. */
  processes(): string[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
      .flatMap((pid) => (this.#belongs(pid) ? [`process ${pid}: ${commandOf(pid)}`] : []));
  }

  #belongs(pid: string): boolean {
    return [`/proc/${pid}/mounts`, `/proc/${pid}/environ`].some((path) =>
      readOrNothing(path).includes(this.#root),
    );
  }

  /** Processes, mounts and locks that should have gone. */
  leftovers(): string[] {
    const mounts = readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .filter((line) => line.includes(this.#root));
    return [...this.processes(), ...mounts, ...(existsSync(this.#run) ? readdirSync(this.#run) : [])];
  }
}

function saying(child: ChildProcess, text: string): Promise<void> {
  let seen = '';
  return new Promise((resolve, reject) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      seen += chunk.toString();
      if (seen.includes(text)) resolve();
    });
    child.once('exit', (code) => reject(new Error(`it ended with ${code} after ${JSON.stringify(seen)}`)));
  });
}

const commandOf = (pid: string): string => readOrNothing(`/proc/${pid}/cmdline`).replaceAll('\0', ' ');

function readOrNothing(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return ''; // it has ended
  }
}
