/**
 * Protects st_ino: two inodes never have the same number in the mount, and one inode always has the same.
 */
import { assert } from 'chai';
import type { U64 } from '../../../fs/sys/stat.js';
import { InodeNumbers } from '../../../fs/union/layers/inode-numbers.js';
import { Random } from '../../support/random.js';

const SEED = 13;
const DRAWN = 20_000;
const LARGE: readonly U64[] = [
  2 ** 48 - 1,
  2 ** 48,
  2 ** 52 - 1,
  2 ** 52,
  2 ** 52 + 1,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
];

describe('union/inode-numbers', () => {
  it("are the layers' own when all layers lie on one filesystem", () => {
    const numbers = new InodeNumbers([7, 7, 7]);
    for (const ino of [1, 12345, ...LARGE]) assert.strictEqual(numbers.of(7, ino), ino);
  });

  it('carry the filesystem in their upper bits otherwise; those of the first are its own', () => {
    const numbers = new InodeNumbers([7, 9, 7, 8]);
    const told = ([7, 9, 8] as const).map((dev) => numbers.of(dev, 5));
    assert.deepEqual(told, [5, 2 ** 48 + 5, 2 * 2 ** 48 + 5]);
  });

  it('fit into 53 bits, so that they are exact', () => {
    const numbers = new InodeNumbers(Array.from({ length: 20 }, (_, dev) => dev));
    for (let dev = 0; dev < 20; dev++) {
      for (const ino of [1, ...LARGE])
        assert.isTrue(Number.isSafeInteger(numbers.of(dev, ino)), `${dev}:${ino}`);
    }
  });

  // On a single filesystem large numbers are kept, so those from 2^52 on may meet a fresh one.
  const STACKS: readonly [string, readonly number[], readonly U64[]][] = [
    ['two filesystems', [1, 2], LARGE],
    ['as many filesystems as there are indexes', Array.from({ length: 16 }, (_, dev) => dev), LARGE],
    ['more filesystems than indexes', Array.from({ length: 40 }, (_, dev) => dev), LARGE],
    ['one filesystem', [1], LARGE.slice(0, 3)],
  ];
  for (const [what, devices, large] of STACKS) {
    it(`differ for different inodes and stay the same: ${what}, and one within a layer`, () => {
      const random = new Random(SEED);
      const numbers = new InodeNumbers(devices);
      const elsewhere = 1000;
      const owner = new Map<U64, string>();
      const known = new Map<string, U64>();
      for (let drawn = 0; drawn < DRAWN; drawn++) {
        const dev = random.pick([...devices, elsewhere]);
        const ino = random.below(3) === 0 ? random.pick(large) : 1 + random.below(500);
        const inode = `${dev}:${ino}`;
        const number = numbers.of(dev, ino);
        assert.strictEqual(owner.get(number) ?? inode, inode, `both have ${number}`);
        assert.strictEqual(known.get(inode) ?? number, number, inode);
        owner.set(number, inode);
        known.set(inode, number);
      }
    });
  }
});
