// Rule: the same seed gives the same numbers on every machine, so that two runs read the same tree.

/** Uniform in [0, 1). */
export type Random = () => number;

const UINT32_RANGE = 2 ** 32;

/** mulberry32; the bare numbers are the algorithm. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / UINT32_RANGE;
  };
}

/** A value of the standard normal distribution (Box and Muller). */
export function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

export function integerBelow(random: Random, limit: number): number {
  return Math.floor(random() * limit);
}

/** Bytes that neither compress nor contain holes. */
export function noise(random: Random, length: number): Buffer {
  const words = new Uint32Array(Math.ceil(length / Uint32Array.BYTES_PER_ELEMENT));
  for (let i = 0; i < words.length; i++) words[i] = integerBelow(random, UINT32_RANGE);
  return Buffer.from(words.buffer, 0, length);
}
