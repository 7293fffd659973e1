/** Random choices that come out the same in every run, for tests that draw their cases. */
import { integerBelow, seededRandom } from '../../bench/random.js';

export class Random {
  readonly #next: () => number;

  constructor(seed: number) {
    this.#next = seededRandom(seed);
  }

  /** An integer from 0 up to, but not including, `limit`. */
  below(limit: number): number {
    return integerBelow(this.#next, limit);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }
}
