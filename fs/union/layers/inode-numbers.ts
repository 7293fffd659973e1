/**
 * Inode numbers of the merged view: unique across layers on different filesystems.
 *
 * Rule: with all layers on one filesystem a file keeps the number it has there. Otherwise the filesystem's index
 * goes into the bits that the layers leave free, as overlayfs' xino does; a number that already uses those bits
 * gets a fresh one above them. Who asks for 32 bits gets the lower ones, unique or not.
 */
import type { U64 } from '../../sys/stat.js';

/** Layers' inode numbers below this leave room for the filesystem's index. */
const FREE_FROM = 2 ** 48;
const MAX_INDEX = 15;
/** Fresh numbers start where no index reaches. */
const FRESH_FROM = (MAX_INDEX + 1) * FREE_FROM;

const WORD = 32;

export class InodeNumbers {
  readonly #indexes = new Map<number, number>();
  readonly #fresh = new Map<string, number>();

  readonly #is32: boolean;

  /**
   * @param devices the filesystem of each layer (Stat.dev)
   * @param is32 for programs that know no longer numbers
   */
  constructor(devices: readonly number[], is32 = false) {
    this.#is32 = is32;
    for (const dev of devices) {
      if (!this.#indexes.has(dev)) this.#indexes.set(dev, this.#indexes.size);
    }
  }

  of(dev: number, ino: U64): U64 {
    const number = this.#wide(dev, ino);
    return this.#is32 ? Number(BigInt.asUintN(WORD, BigInt(number))) : number;
  }

  #wide(dev: number, ino: U64): U64 {
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
