/**
 * Busy polling of the session loop.
 *
 * Rules: a wake-up of a sleeping server takes 50 us between two CPUs, so the server first polls for a moment, and yields
 * the CPU each time (on one CPU to the client). It spins only if that pays: after a request that spinning would have
 * caught, not after a pause. An idle mount sleeps and uses no CPU.
 */
import { PollSet, schedYield } from '../sys/syscalls.js';

/** Longest spin in milliseconds: four wake-ups. */
const SPIN = 0.2;

export class Idle {
  static readonly FOREVER = -1;

  readonly #poll: PollSet;
  /** How long to spin before sleeping, in milliseconds. */
  #budget = SPIN;
  /** When the current spin began; undefined while requests come. */
  #since: number | undefined;

  /** @param fds what may become readable */
  constructor(fds: readonly number[]) {
    this.#poll = new PollSet(fds);
  }

  /** A request has come. */
  busy(): void {
    if (this.#since === undefined) return;
    this.#since = undefined;
    this.#budget = SPIN;
  }

  /** Spins once; false when it is time to sleep. */
  spin(): boolean {
    if (this.#budget === 0) return false;
    const now = performance.now();
    this.#since ??= now;
    if (now - this.#since >= this.#budget) return false;
    schedYield();
    return true;
  }

  /** Sleeps until something is readable, at most `timeout` milliseconds. */
  sleep(timeout: number): void {
    const before = performance.now();
    this.#poll.wait(timeout);
    this.#budget = performance.now() - before < SPIN ? SPIN : 0;
    this.#since = undefined;
  }
}
