/**
 * Inode numbers of the merged view: unique across layers on different filesystems.
 *
 * Rule: with all layers on one filesystem a file keeps the number it has there. Otherwise the filesystem's index
 * goes into the bits that the layers leave free, as overlayfs' xino does; a number that already uses those bits
 * gets a fresh one above them.
 */
import type { U64 } from '../sys/stat.js';

/** Layers' inode numbers below this leave room for the filesystem's index. */
const FREE_FROM = 2 ** 48;
const MAX_INDEX = 15;
/** Fresh numbers start where no index reaches. */
const FRESH_FROM = (MAX_INDEX + 1) * FREE_FROM;

export class InodeNumbers {
  readonly #indexes = new Map<number, number>();
  readonly #fresh = new Map<string, number>();

  /** @param devices the filesystem of each layer (Stat.dev) */
  constructor(devices: readonly number[]) {
    for (const dev of devices) {
      if (!this.#indexes.has(dev)) this.#indexes.set(dev, this.#indexes.size);
    }
  }

  of(dev: number, ino: U64): U64 {
    const index = this.#indexes.get(dev);
    if (index === 0 && this.#indexes.size === 1) return ino;
    if (index !== undefined && index <= MAX_INDEX && ino < FREE_FROM) return index * FREE_FROM + Number(ino);
    const key = `${dev}:${ino}`;
    const known = this.#fresh.get(key);
    if (known !== undefined) return known;
    const fresh = FRESH_FROM + this.#fresh.size;
    this.#fresh.set(key, fresh);
    return fresh;
  }
}
