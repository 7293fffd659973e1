/**
 * A running container is held still, from outside, while its files are copied.
 *
 *     this process             guardian (a shell in a session of its own)
 *       "stop PID"  -------->  notes it
 *       SIGSTOP to PID ...
 *       copies
 *       end of file -------->  lets everything go on, and ends
 *
 * Rules: by the container's own cgroup freezer, else by SIGSTOP to its processes. The guardian knows of each step
 * before it is done, and undoes all when the pipe ends: at `release`, or when this process ends, whatever ended it.
 * Processes that had been stopped before stay so. Compare pause in podman and docker, which takes the freezer alone.
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { HostError } from '../../../fs/index.js';
import { pipe } from '../../../fs/sys/process.js';
import { textOf } from '../../host/text-of.js';
import { type Freezer, freezerOf } from '../cgroup/freezer.js';
import { type Process, processesOf } from '../process/pid-namespace.js';

const SHELL = '/bin/sh';
/** Children go on before their parents, who would take them for suspended jobs. */
const GUARDIAN = `trap '' HUP INT QUIT TERM; pids= file=
while read -r what value path; do
  case $what in stop) pids="$value $pids" ;; freeze) thaw=$value file=$path ;; esac
done
[ -z "$file" ] || echo "$thaw" >"$file"
for pid in $pids; do kill -CONT "$pid"; done`;

const PATIENCE_MS = 10_000;
const POLL_MS = 2;
/** Of /proc/PID/stat: stopped, traced, dead. */
const STILL = new Set(['T', 't', 'Z', 'X']);

/** A container to pause. */
export interface Pausable {
  readonly name: string;
  /** Its first process. */
  readonly pid: number;
}

export class Pause {
  /** The guardian's orders, and an end that it holds open. They may be handed on over execve(2). */
  readonly descriptors: readonly [orders: number, ended: number];

  /** @param descriptors those of the pause that another program of this process has begun */
  constructor(descriptors: readonly [number, number] = startGuardian()) {
    this.descriptors = descriptors;
  }

  /** Throws `HostError` if the container cannot be paused; it goes on then. */
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

  /** The container goes on; it does when this returns. */
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
    if (isFrozen()) return; // by somebody else, who will thaw it
    this.#order(`freeze ${thaw} ${file}`);
    until(name, () => {
      writeFileSync(file, freeze, 'latin1'); // version 1 may need to be told again
      return isFrozen();
    });
  }

  #stop(name: string, first: number): void {
    if (processesOf(first).length === 0 && existsSync(`/proc/${first}`))
      throw cannotPause(name, 'its processes cannot be seen from here');
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
      return quiet > 1; // who forked while /proc was read has a child that was not seen
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
      throw cannotPause(name, `it does not stop within ${PATIENCE_MS / 1000} s`);
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
  if (child.pid === undefined) throw new Error(`"${SHELL}" cannot be started`);
  return [orders.writeEnd, ended.readEnd];
}
