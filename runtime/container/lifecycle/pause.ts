/**
 * Pauses a running container from outside, while its files are copied.
 *
 *     this process             guardian (a shell in a session of its own)
 *       "stop PID"  -------->  records it
 *       SIGSTOP to PID ...
 *       copies
 *       end of file -------->  resumes all processes, and exits
 *
 * Rules: uses the container's own cgroup freezer, else SIGSTOP to its processes. The guardian is told each step before it
 * is done, and undoes all steps at the end of the pipe: at `release`, or when this process ends for any reason. Processes
 * that were stopped before stay stopped. Compare pause in podman and docker, which use only the freezer.
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { HostError } from '../../../fs/index.js';
import { pipe } from '../../../fs/sys/process.js';
import { type Process, processesOf } from '../../host/pid-namespace.js';
import { textOf } from '../../host/text-of.js';
import { type Freezer, freezerOf } from '../cgroup/freezer.js';

const SHELL = '/bin/sh';
/** Children are resumed before their parents, which would take them for suspended jobs. */
const GUARDIAN = `trap '' HUP INT QUIT TERM; pids= file=
while read -r what value path; do
  case $what in stop) pids="$value $pids" ;; freeze) thaw=$value file=$path ;; esac
done
[ -z "$file" ] || echo "$thaw" >"$file"
for pid in $pids; do kill -CONT "$pid"; done`;

const PATIENCE_MS = 10_000;
const POLL_MS = 2;
/** States in /proc/PID/stat: stopped, traced, zombie, dead. */
const STILL = new Set(['T', 't', 'Z', 'X']);

/** A container to pause. */
export interface Pausable {
  readonly name: string;
  /** Its first process. */
  readonly pid: number;
}

export class Pause {
  /** The pipe to the guardian, and a pipe that it keeps open until it exits. They can be kept over execve(2). */
  readonly descriptors: readonly [orders: number, ended: number];

  /** @param descriptors those of a pause that this process began before execve(2) */
  constructor(descriptors: readonly [number, number] = startGuardian()) {
    this.descriptors = descriptors;
  }

  /** Throws `HostError` if the container cannot be paused; it then continues to run. */
  static begin({ name, pid }: Pausable): Pause {
    const pause = new Pause();
    try {
      const freezer = freezerOf(pid);
      if (freezer === undefined) pause.#stop(name, pid);
      else pause.#freeze(name, freezer);
      return pause;
    } catch (error) {
      pause.release();
      throw error;
    }
  }

  /** Resumes the container before it returns. */
  release(): void {
    const [orders, ended] = this.descriptors;
    closeSync(orders);
    readSync(ended, Buffer.alloc(1));
    closeSync(ended);
  }

  #order(text: string): void {
    writeSync(this.descriptors[0], `${text}\n`);
  }

  #freeze(name: string, { file, freeze, thaw, isFrozen }: Freezer): void {
    if (isFrozen()) return; // by another program, which will thaw it
    this.#order(`freeze ${thaw} ${file}`);
    until(name, () => {
      writeFileSync(file, freeze, 'latin1'); // version 1 may need several writes
      return isFrozen();
    });
  }

  #stop(name: string, first: number): void {
    if (processesOf(first).length === 0 && existsSync(`/proc/${first}`))
      throw cannotPause(name, 'its processes are not visible in this pid namespace');
    const stopped = new Set<number>();
    let quiet = 0;
    until(name, () => {
      const going = processesOf(first).filter((process) => !isStill(process));
      for (const { pid } of going.filter((process) => !stopped.has(process.pid))) {
        stopped.add(pid);
        this.#order(`stop ${pid}`);
        signalStop(name, pid);
      }
      quiet = going.length === 0 ? quiet + 1 : 0;
      return quiet > 1; // a process that forked while /proc was read has an unseen child
    });
  }
}

/** Stopped; or waiting for a child that has its memory (vfork(2)) and is stopped itself. */
const isStill = ({ pid, state }: Process): boolean =>
  STILL.has(state) || (state === 'D' && /fork|clone/.test(waitingIn(pid)));

/** The kernel function in which a process waits. */
const waitingIn = (pid: number): string => textOf(`/proc/${pid}/wchan`);

function signalStop(name: string, pid: number): void {
  try {
    process.kill(pid, 'SIGSTOP');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ESRCH') throw cannotPause(name, `kill: ${code}`);
  }
}

const cannotPause = (name: string, why: string): HostError =>
  new HostError(`container "${name}" cannot be paused: ${why}`, 'use --no-pause');

function until(name: string, isSo: () => boolean): void {
  const deadline = performance.now() + PATIENCE_MS;
  while (!isSo()) {
    if (performance.now() > deadline)
      throw cannotPause(name, `its processes did not stop within ${PATIENCE_MS / 1000} s`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, POLL_MS);
  }
}

function startGuardian(): [orders: number, ended: number] {
  const [orders, ended] = [pipe(), pipe()];
  const child = spawn(SHELL, ['-c', GUARDIAN], {
    stdio: [orders.readEnd, 'ignore', 'ignore', ended.writeEnd],
    env: {},
    cwd: '/',
    detached: true,
  });
  child.unref();
  closeSync(orders.readEnd);
  closeSync(ended.writeEnd);
  if (child.pid === undefined) throw new Error(`cannot start "${SHELL}"`);
  return [orders.writeEnd, ended.readEnd];
}
