/** Protects the set of inodes whose owner is looked at again: nothing is forgotten, and few are there by mistake. */
import { assert } from 'chai';
import { InodeSet } from '../../../fs/union/layers/inode-set.js';

const MANY = 10_000;
const MOST_MISTAKES = MANY / 100;

describe('union/inode-set', () => {
  const numbers = (first: number): number[] => Array.from({ length: MANY }, (_, index) => first + index);

  for (const [what, first] of [
    ['small', 2],
    ['beyond 32 bits', 3 * 2 ** 48],
  ] as const) {
    it(`finds what was added, by any view, and hardly anything else: numbers that are ${what}`, () => {
      const set = new InodeSet();
      for (const ino of numbers(first)) set.add(ino);
      const view = new InodeSet(set.shared);
      assert.isTrue(numbers(first).every((ino) => view.has(ino)));
      assert.isBelow(numbers(first + MANY).filter((ino) => view.has(ino)).length, MOST_MISTAKES);
    });
  }

  it('a number is the same as a bigint', () => {
    const set = new InodeSet();
    set.add(2n ** 63n + 5n);
    set.add(7);
    assert.deepEqual([set.has(2n ** 63n + 5n), set.has(7n), set.has(5)], [true, true, false]);
  });
});
