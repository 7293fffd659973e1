/**
 * Commands as values: run one to its end, get its output, or an error that shows what it printed.
 *
 * Everything here is bounded in time and is killed with SIGKILL: a filesystem under test may hang, and a
 * process waiting for a FUSE reply obeys no gentler signal.
 */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';

const MIB = 1024 * 1024;
const MAX_OUTPUT = 512 * MIB;
const SHOWN_LINES = 40;
const SHOWN_ARGUMENT = 200;
const DEFAULT_TIMEOUT_MS = 120_000;

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly timeoutMs?: number;
}

/** Runs `command` and returns its stdout as bytes in a latin1 string: names are bytes, not text. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): string {
  const { timeoutMs = DEFAULT_TIMEOUT_MS, ...rest } = options;
  const result = spawnSync(command, args, {
    ...rest,
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'latin1',
    maxBuffer: MAX_OUTPUT,
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
  if (result.status !== 0) throw new Error(describeFailure(command, args, result));
  return result.stdout;
}

function describeFailure(command: string, args: readonly string[], result: SpawnSyncReturns<string>): string {
  const how =
    result.error?.message ?? (result.signal ? `killed by ${result.signal}` : `exit ${result.status}`);
  return [
    `${commandLine(command, args)}: ${how}`,
    ...lastLines('stdout', result.stdout),
    ...lastLines('stderr', result.stderr),
  ].join('\n');
}

/** A command as a reader wants it: of a script among its arguments, the beginning is enough. */
export function commandLine(command: string, args: readonly string[]): string {
  const shorten = (text: string) =>
    text.length > SHOWN_ARGUMENT ? `${text.slice(0, SHOWN_ARGUMENT)}…` : text;
  return [command, ...args].map(shorten).join(' ');
}

/** The end of a command's output, each line marked with where it came from. */
export function lastLines(source: string, text: string | null): string[] {
  const lines = (text ?? '').split('\n').filter((line) => line !== '');
  return lines.slice(-SHOWN_LINES).map((line) => `  ${source}: ${line}`);
}
