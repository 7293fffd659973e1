/**
 * Kills the servers of a test that hangs.
 *
 * Rule: the tests' own thread may be stuck inside a system call on the mount, where no timer of its own fires. A
 * second thread waits beside it; once a server is killed the kernel fails every call on its mount. It waits in many
 * short turns, so that a pause of the whole machine counts as one of them and not as a test that hangs.
 */
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { processesNaming } from './processes.js';

const TURN_MS = 500;
/** 40 seconds. */
const TURNS = 80;
const FED = 0;
const STOPPED = 1;

interface Guarded {
  readonly directory: string;
  readonly state: SharedArrayBuffer;
}

export class Watchdog {
  readonly #state = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));

  /** Guards all processes that name `directory` on their command line. */
  constructor(directory: string) {
    const guarded: Guarded = { directory, state: this.#state.buffer as SharedArrayBuffer };
    new Worker(new URL(import.meta.url), { workerData: guarded }).unref();
  }

  feed(): void {
    Atomics.add(this.#state, FED, 1);
    Atomics.notify(this.#state, FED);
  }

  stop(): void {
    Atomics.store(this.#state, STOPPED, 1);
    this.feed();
  }
}

function guard({ directory, state }: Guarded): void {
  const words = new Int32Array(state);
  let turns = 0;
  let fed = Atomics.load(words, FED);
  while (Atomics.load(words, STOPPED) === 0) {
    const isHungry = Atomics.wait(words, FED, fed, TURN_MS) === 'timed-out';
    fed = Atomics.load(words, FED);
    turns = isHungry ? turns + 1 : 0;
    if (turns < TURNS) continue;
    for (const pid of processesNaming(directory)) process.kill(pid, 'SIGKILL');
    turns = 0;
  }
}

if (!isMainThread && (workerData as Partial<Guarded> | null)?.directory !== undefined)
  guard(workerData as Guarded);
