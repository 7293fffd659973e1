/**
 * A set of inode numbers that two threads share: a Bloom filter in shared memory.
 *
 * Rules: what was added is always found; what was not is found by mistake once in a thousand, as long as there are fewer
 * than about `ROOM` numbers. Nothing is ever taken out, so nobody has to wait for anybody.
 */
import type { U64 } from '../../sys/stat.js';

const ROOM = 65_536;
/** 16 bits for each number, of which 4 are set: (1 - e^(-4/16))^4 is 0.0024 when all are there. */
const BITS = ROOM * 16;
const HASHES = 4;
const BITS_PER_WORD = 32;

export class InodeSet {
  readonly shared: SharedArrayBuffer;
  readonly #words: Int32Array;

  /** @param shared of the set that this is another view of; a new set by default */
  constructor(shared = new SharedArrayBuffer(BITS / 8)) {
    this.shared = shared;
    this.#words = new Int32Array(shared);
  }

  add(ino: U64): void {
    for (const bit of bitsOf(ino)) Atomics.or(this.#words, bit >>> 5, 1 << (bit % BITS_PER_WORD));
  }

  has(ino: U64): boolean {
    return bitsOf(ino).every(
      (bit) => (Atomics.load(this.#words, bit >>> 5) & (1 << (bit % BITS_PER_WORD))) !== 0,
    );
  }
}

/** Double hashing of both halves (Kirsch and Mitzenmacher); BITS is a power of two and the step odd. */
function bitsOf(ino: U64): number[] {
  const wide = BigInt(ino);
  const first = mix(Number(wide & 0xffffffffn) ^ mix(Number(wide >> 32n)));
  const step = mix(first) | 1;
  return Array.from({ length: HASHES }, (_, index) => ((first + index * step) >>> 0) % BITS);
}

/** The finalizer of MurmurHash3. */
function mix(word: number): number {
  let h = word;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
