/**
 * The init stage's process: a second Node, born as PID 1 of a new pid namespace.
 *
 * Rules: unshare(CLONE_NEWPID) is only for the next child and is taken back at once, since a thread that stays so can
 * make no threads. The stage's program is opened through a private, read-only copy of its mount: a container that
 * reaches it as /proc/self/exe cannot write to it (CVE-2019-5736). Its environment is empty: nothing of the caller's
 * steers it, or reaches the container. It leads a session of its own, as a container's first process does.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import type { Socket } from 'node:net';
import { constants } from 'node:os';
import { AT, CLONE, MOUNT_ATTR } from '../../fs/sys/constants.js';
import { E, Errno } from '../../fs/sys/errno.js';
import { changeMount, cloneTree } from '../../fs/sys/mount-api.js';
import { setns } from '../../fs/sys/process.js';
import { close, unshare } from '../../fs/sys/syscalls.js';
import { UsageError } from '../../fs/union/stack.js';
import { packageFile } from '../package.js';
import { CHANNEL, type Job, type Report } from './init/job.js';

/** init/main.ts and what it imports, as one file. */
const PROGRAM = packageFile('dist/bin/init.cjs');

/** Where standard input comes from. */
export type Input = 'inherit' | 'ignore';

/** A started init stage that waits for its job. */
export class InitProcess {
  readonly #child: ChildProcess;
  readonly #channel: Socket;
  /** How the process ended: its exit code, or 128 and the signal that killed it. */
  readonly ended: Promise<number>;

  constructor(child: ChildProcess, ended: Promise<number>) {
    this.#child = child;
    this.#channel = child.stdio[CHANNEL] as Socket;
    this.#channel.on('error', () => {}); // the stage is gone: `ended` says so
    this.ended = ended;
  }

  /** As the host sees it. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Gives the stage its job and tells its reports; ends when the command runs or the stage has ended. */
  async *run(job: Job): AsyncGenerator<Report> {
    this.#channel.write(`${JSON.stringify(job)}\n`);
    let rest = '';
    for await (const chunk of this.#channel.setEncoding('utf8')) {
      const lines = `${rest}${chunk}`.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) yield JSON.parse(line) as Report;
    }
  }

  /** kill(2); nothing if it has ended. */
  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}

/**
 * Starts an init stage. It may be started long before `run`: what the caller mounts until then is seen. Throws
 * `UsageError` where the caller may not, or the kernel cannot.
 */
export function startInit(input: Input): InitProcess {
  const node = sealedNode();
  try {
    return spawnInNewPidNamespace(`/proc/self/fd/${node}`, input);
  } catch (error) {
    if (!(error instanceof Errno) || error.code !== E.EPERM) throw error;
    throw new UsageError(`uid ${process.getuid?.()} may not make a pid namespace; run as root`);
  } finally {
    close(node);
  }
}

/** Node's program in a read-only mount of its own. */
function sealedNode(): number {
  try {
    const node = cloneTree(AT.FDCWD, Buffer.from(process.execPath).toString('latin1'), false);
    changeMount(node, { set: MOUNT_ATTR.RDONLY });
    return node;
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    if (error.code === E.EPERM) throw new UsageError(`uid ${process.getuid?.()} may not mount; run as root`);
    if (error.code === E.ENOSYS) throw new UsageError('containers need Linux 5.12 or later');
    throw error;
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
    return new InitProcess(child, endOf(child));
  } finally {
    setns(own, CLONE.NEWPID);
    closeSync(own);
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
  ended.catch(() => {}); // whoever runs the stage handles it
  return ended;
}
