/**
 * One test file, run in the instrumented copy.
 *
 * Rule: whatever a mutant does, nothing of it stays. A trial has process and mount namespaces of its own, which end
 * with it, and a temporary directory that is removed.
 */
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Trial {
  readonly passed: boolean;
  readonly milliseconds: number;
  readonly output: string;
}

/** A new directory, which other users, as whom tests run programs, may enter. */
export function openDirectory(prefix: string): string {
  const path = mkdtempSync(join(tmpdir(), prefix));
  chmodSync(path, 0o755);
  return path;
}

/** Kept of a trial's output, in characters. */
const OUTPUT_BOUND = 20_000;
const TEST_TIMEOUT_MS = 60_000;

/** Programs of the tests keep files in memory: a trial gets memory of its own. */
const SCRIPT = 'mount -t tmpfs none /dev/shm && exec "$@"';

/**
 * @param copy the instrumented project
 * @param file the compiled test
 * @param timeoutMs after which the trial has failed
 */
export function attempt(
  copy: string,
  file: string,
  environment: Readonly<Record<string, string>>,
  timeoutMs: number,
): Promise<Trial> {
  const temporary = openDirectory('unionfs-trial-');
  const mocha = [
    'node_modules/.bin/mocha',
    '--no-config',
    '--bail',
    '--exit',
    '--timeout',
    String(TEST_TIMEOUT_MS),
    file,
  ];
  const namespaces = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const since = performance.now();
  return new Promise((resolve) => {
    const child = spawn('unshare', [...namespaces, 'sh', '-c', SCRIPT, 'sh', ...mocha], {
      cwd: copy,
      env: { ...process.env, ...environment, TMPDIR: temporary },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-OUTPUT_BOUND);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    child.on('close', (code) => {
      clearTimeout(timer);
      rmSync(temporary, { recursive: true, force: true });
      resolve({ passed: code === 0, milliseconds: performance.now() - since, output });
    });
  });
}
