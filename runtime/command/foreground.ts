/**
 * Runs a command in the foreground; this process behaves like the command.
 *
 * Rules: signals to this process are forwarded, except those that a terminal sends to both. The exit code is the
 * command's, or a shell's if the command could not be run. Compare sudo's exec_nopty.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { PR } from '../../fs/sys/constants.js';
import { prctl } from '../../fs/sys/process.js';
import { textOf } from '../host/text-of.js';
import { type Command, startable } from './byte-command.js';
import { catchSignals } from './signals.js';

export interface Outcome {
  /** The command's own; 128 and the number of the signal that killed it; 126 and 127 as in sh(1). */
  readonly exitCode: number;
  /** Why the command was not run. */
  readonly refusal?: string;
}

const SIGNAL_BASE = 128;
const REFUSALS: Readonly<Record<string, Outcome>> = {
  ENOENT: { exitCode: 127, refusal: 'was not found' },
  EACCES: { exitCode: 126, refusal: 'cannot be executed: permission denied' },
  ENOEXEC: { exitCode: 126, refusal: 'cannot be executed: exec format error' },
};
/** Signals that a terminal sends to all processes of the foreground group. */
const OF_TERMINALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGWINCH'];

/** Runs a command with this process's standard streams until it exits. Options are spawn()'s. */
export function runForeground(
  command: Command,
  options: SpawnOptions,
  onStarted: (pid: number) => void = () => {},
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const { command: program, args, env } = startable(command);
    // before the command runs, which may cause a signal at once
    const release = catchSignals((signal) => {
      if (!(OF_TERMINALS.includes(signal) && isForeground())) child?.kill(signal);
    });
    let child: ChildProcess | undefined;
    try {
      child = spawn(program, args, { stdio: 'inherit', ...options, env });
    } catch (error) {
      release();
      throw error;
    }
    if (child.pid !== undefined) onStarted(child.pid);
    child.on('error', (error: NodeJS.ErrnoException) => {
      release();
      const outcome = REFUSALS[error.code ?? ''];
      if (outcome === undefined) reject(error);
      else resolve(outcome);
    });
    child.on('exit', (code, signal) => {
      release();
      resolve({ exitCode: code ?? SIGNAL_BASE + (signal === null ? 0 : constants.signals[signal]) });
    });
  });
}

/** Makes this process the parent of orphaned descendants (PR_SET_CHILD_SUBREAPER). */
export function becomeReaper(): void {
  prctl(PR.SET_CHILD_SUBREAPER, 1);
}

/** Kills all children, and their orphans, which become children of this process. */
export function killChildren(): void {
  for (let living = children(); living.length > 0; living = children()) {
    for (const pid of living) killIfThere(pid);
  }
}

/** Running children, without zombies. */
function children(): number[] {
  return readdirSync('/proc/self/task').flatMap((thread) =>
    textOf(`/proc/self/task/${thread}/children`)
      .split(' ')
      .filter((pid) => pid !== '' && !ENDED.test(textOf(`/proc/${pid}/stat`)))
      .map(Number),
  );
}

/** The line of a zombie, or an empty one. */
const ENDED = /^$|\) [ZX] [^)]*$/;

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Whether this process's group is the foreground group of the terminal (proc_pid_stat(5)). */
function isForeground(): boolean {
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const [, , group, , , terminalGroup] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return group === terminalGroup;
}
