/**
 * What the loop does while there is no request.
 *
 * Rules: a sleeping server costs its client a wake-up, 50 us between two CPUs, so it first asks again for a moment,
 * giving the CPU to whoever wants it each time (on one CPU that is the client). It spins only as long as that pays:
 * after a request that a spin would have caught, not after a pause. An idle mount sleeps and costs nothing.
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

  /** Spends a moment; false when it is time to sleep. */
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
