/**
 * The process of the init stage: a second Node, started as PID 1 of a new pid namespace.
 *
 * Rules: unshare(CLONE_NEWPID) affects only the next child and is reverted at once, because a thread in this state cannot
 * create threads. The stage's program is opened through a private, read-only copy of its mount: a container that
 * reaches it as /proc/self/exe cannot write to it (CVE-2019-5736). Its environment is empty, so that no variable of
 * the caller affects it or reaches the container. It is a session leader, as a container's first process is.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { constants } from 'node:os';
import { AT, CLONE, MOUNT_ATTR } from '../../../fs/sys/constants.js';
import { E, Errno } from '../../../fs/sys/errno.js';
import { changeMount, cloneTree } from '../../../fs/sys/mount-api.js';
import { toBytes } from '../../../fs/sys/path-bytes.js';
import { setns } from '../../../fs/sys/process.js';
import { HostError } from '../../../fs/sys/refusal.js';
import { close, unshare } from '../../../fs/sys/syscalls.js';
import { packageFile } from '../../host/package.js';
import { findProgram } from '../../host/programs.js';
import { CHANNEL, type Job, type Report } from '../init/job.js';

/** init/main.ts and what it imports, as one file. */
const PROGRAM = packageFile('dist/bin/init.cjs');

/** Standard input: this process's, or /dev/null. */
export type Input = 'inherit' | 'ignore';

/** A started init stage that waits for its job. */
export class InitProcess {
  readonly #child: ChildProcess;
  readonly #channel: Socket;
  readonly #isBehind: boolean;
  /** How the process ended: its exit code, or 128 and the signal that killed it. */
  readonly ended: Promise<number>;

  /** @param isBehind the stage is not `child` but its only child */
  constructor(child: ChildProcess, ended: Promise<number>, isBehind: boolean) {
    this.#child = child;
    this.#isBehind = isBehind;
    this.#channel = child.stdio[CHANNEL] as Socket;
    this.#channel.on('error', () => {}); // the stage has ended; `ended` reports it
    this.ended = ended;
  }

  /** The pid on the host; valid after the first report. */
  get pid(): number {
    const { pid = 0 } = this.#child;
    return this.#isBehind ? (childOf(pid) ?? pid) : pid;
  }

  /** Sends the job and yields the stage's reports, until the command runs or the stage has exited. */
  async *run(job: Job): AsyncGenerator<Report> {
    this.#channel.write(`${JSON.stringify(job)}\n`);
    let rest = '';
    for await (const chunk of this.#channel.setEncoding('utf8')) {
      const lines = `${rest}${chunk}`.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) yield JSON.parse(line) as Report;
    }
  }

  /** Lets the stage continue, which waits after the report "listener". */
  goOn(): void {
    this.#channel.write('\n');
  }

  /** kill(2); nothing if it has ended. */
  kill(signal: NodeJS.Signals): void {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return;
    try {
      process.kill(this.pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

/**
 * Starts an init stage. It may be started long before `run`; it sees mounts that the caller makes in between. Throws
 * `HostError` if that is not permitted, or not supported by the kernel.
 */
export function startInit(input: Input): InitProcess {
  const node = sealedNode();
  try {
    return canReturn()
      ? spawnInNewPidNamespace(`/proc/self/fd/${node}`, input)
      : spawnBehindShell(node, input);
  } catch (error) {
    if (!(error instanceof Errno) || error.code !== E.EPERM) throw error;
    throw new HostError(`uid ${process.getuid?.()} may not create a pid namespace`);
  } finally {
    close(node);
  }
}

/** Node's program in a read-only mount of its own. */
function sealedNode(): number {
  try {
    const node = cloneTree(AT.FDCWD, toBytes(process.execPath), false);
    changeMount(node, { set: MOUNT_ATTR.RDONLY });
    return node;
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    if (error.code === E.EPERM) throw new HostError(`uid ${process.getuid?.()} may not mount`);
    if (error.code === E.ENOSYS) throw new HostError('containers need Linux 5.12 or later');
    throw error;
  }
}

/** Whether setns(2) back to this process's pid namespace is permitted; another user namespace may own it. */
function canReturn(): boolean {
  const own = openSync('/proc/self/ns/pid', 'r');
  try {
    setns(own, CLONE.NEWPID);
    return true;
  } catch (error) {
    if (!(error instanceof Errno) || error.code !== E.EPERM) throw error;
    return false;
  } finally {
    closeSync(own);
  }
}

function spawnInNewPidNamespace(node: string, input: Input): InitProcess {
  const own = openSync('/proc/self/ns/pid', 'r');
  try {
    unshare(CLONE.NEWPID);
    const child = spawn(node, [PROGRAM], {
      stdio: [input, 'inherit', 'inherit', 'pipe'],
      env: {},
      cwd: '/',
      detached: true,
    });
    return new InitProcess(child, endOf(child), false);
  } finally {
    setns(own, CLONE.NEWPID);
    closeSync(own);
  }
}

const SEALED_NODE = CHANNEL + 1;
const STDERR = 2;
const SHELL = '/bin/sh';
/**
 * The shell closes its copy of the channel (3), so that an end of file is seen when the stage closes its own. 5 and 6 are
 * the stage's standard streams, since a background process of a shell has none; messages of the shell are discarded.
 */
const WAIT = 'exec 6<&0 </dev/null; "$@" <&6 2>&5 5>&- 6<&- & exec 3<&- 4<&- 5<&- 6<&-; wait $!; exit $?';

/**
 * setns(2) back to a pid namespace of another user namespace is not permitted, so a shell is started in the unshared
 * state: the stage is its child, and the shell exits with the stage's exit code. It also passes on the supervisor's death.
 */
function spawnBehindShell(node: number, input: Input): InitProcess {
  const stage = [SHELL, '-c', WAIT, SHELL, `/proc/self/fd/${SEALED_NODE}`, PROGRAM];
  const unshared = [findProgram('unshare') ?? 'unshare', '--pid', '--', ...stage];
  const setpriv = findProgram('setpriv');
  const mortal = setpriv === undefined ? [] : [setpriv, '--pdeathsig', 'KILL', '--'];
  const [program = '', ...args] = [...mortal, ...unshared];
  const child = spawn(program, args, {
    stdio: [input, 'inherit', 'ignore', 'pipe', node, STDERR],
    env: {},
    cwd: '/',
    detached: true,
  });
  return new InitProcess(child, endOf(child), true);
}

/** The first child of a process; undefined if it has none, or has ended. */
function childOf(pid: number): number | undefined {
  try {
    const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ');
    return child === undefined || child === '' ? undefined : Number(child);
  } catch {
    return undefined;
  }
}

const SIGNAL_BASE = 128;

function endOf(child: ChildProcess): Promise<number> {
  const ended = new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      resolve(code ?? SIGNAL_BASE + (signal === null ? 0 : constants.signals[signal]));
    });
  });
  ended.catch(() => {}); // `run` handles it
  return ended;
}
