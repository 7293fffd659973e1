/** Protects sparse files in tars: each of GNU's four forms gives the same pieces, and a map that does not fit is refused before a byte is written. */
import { assert } from 'chai';
import fc from 'fast-check';
import {
  checkMap,
  isFollowed,
  oldGnuMap,
  Placer,
  paxMap,
  type SparseMap,
} from '../../../runtime/image/tar/sparse.js';
import type { Extent } from '../../../runtime/image/tar/tar-entry.js';
import { type PaxRecords, TarError } from '../../../runtime/image/tar/tar-header.js';

const BLOCK = 512;
const DAMAGED = 'has a damaged sparse map';
const UNFIT = 'has a sparse map that does not fit its data';

const octal = (value: number): string => `${value.toString(8).padStart(11, '0')}\0`;
const flat = (extents: readonly Extent[]): number[] =>
  extents.flatMap(({ offset, length }) => [offset, length]);

/** An old GNU header (or, at 0, an extension block) with pieces. */
function oldBlock(start: number, numbers: readonly number[], flagAt: number, more: boolean): Buffer {
  const block = Buffer.alloc(BLOCK);
  block.write(numbers.map(octal).join(''), start, 'latin1');
  if (more) block[flagAt] = 1;
  return block;
}
const oldHeader = (numbers: readonly number[], size: number, more = false): Buffer => {
  const block = oldBlock(386, numbers, 482, more);
  block.write(octal(size), 483, 'latin1');
  return block;
};

/** Where each byte of `data` comes to lie. */
function place(map: SparseMap, data: Buffer, stored: number, piece = data.length || 1): Map<number, number> {
  const placer = new Placer(map, stored);
  const found = new Map<number, number>();
  for (let at = 0; at < data.length; at += piece)
    placer.place(data.subarray(at, at + piece), (bytes, offset) => {
      assert.isNotEmpty(bytes);
      for (const [index, byte] of bytes.entries()) found.set(offset + index, byte);
    });
  placer.end();
  return found;
}

describe('sparse maps', () => {
  const PAX: readonly [what: string, pax: PaxRecords, size: number, extents: number[]][] = [
    ['0.1', { 'GNU.sparse.map': '1,2,30,4', 'GNU.sparse.size': '50' }, 50, [1, 2, 30, 4]],
    ['0.1 that is all hole', { 'GNU.sparse.map': '', 'GNU.sparse.size': '50' }, 50, []],
    [
      'the real size before the size',
      { 'GNU.sparse.map': '', 'GNU.sparse.size': '5', 'GNU.sparse.realsize': '6' },
      6,
      [],
    ],
    ['another version than 1.0', { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '1', 'GNU.sparse.map': '', 'GNU.sparse.size': '0' }, 0, []], // biome-ignore format: a table
    ['another major version', { 'GNU.sparse.major': '0', 'GNU.sparse.minor': '0', 'GNU.sparse.map': '', 'GNU.sparse.size': '0' }, 0, []], // biome-ignore format: a table
  ];
  for (const [what, pax, size, extents] of PAX) {
    it(`of PAX: ${what}`, () => {
      const map = paxMap(pax) ?? assert.fail();
      assert.deepEqual(
        [map.size, flat(map.extents), map.isCounted, map.more],
        [size, extents, true, undefined],
      );
    });
  }

  it('are of sparse files only', () => {
    assert.isUndefined(paxMap({}));
    assert.isUndefined(paxMap({ 'GNU.sparse.major': '1', 'GNU.sparse.realsize': '5' }));
  });

  const DAMAGES: readonly [pax: PaxRecords, why: string][] = [
    [{ 'GNU.sparse.map': '1', 'GNU.sparse.size': '5' }, DAMAGED],
    [{ 'GNU.sparse.map': '1,2,3', 'GNU.sparse.size': '5' }, DAMAGED],
    [{ 'GNU.sparse.map': '1,x', 'GNU.sparse.size': '5' }, DAMAGED],
    [{ 'GNU.sparse.map': '1,-2', 'GNU.sparse.size': '5' }, DAMAGED],
    [{ 'GNU.sparse.map': '1, 2', 'GNU.sparse.size': '5' }, DAMAGED],
    [{ 'GNU.sparse.map': '1,2 ', 'GNU.sparse.size': '5' }, DAMAGED],
    [{ 'GNU.sparse.map': '1,', 'GNU.sparse.size': '5' }, DAMAGED],
    [{ 'GNU.sparse.map': '1,2' }, DAMAGED],
    [{ 'GNU.sparse.map': '1,2', 'GNU.sparse.size': '1'.repeat(16) }, DAMAGED],
    [{ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0' }, DAMAGED],
  ];
  for (const [pax, why] of DAMAGES)
    it(`${JSON.stringify(pax)} is refused`, () => assert.throws(() => paxMap(pax), TarError, why));

  it('of old GNU headers have four pieces, and 21 in each block that follows', () => {
    const few = oldGnuMap(oldHeader([1, 2, 30, 4], 50));
    assert.deepEqual(
      [few.size, flat(few.extents), few.isCounted, few.more],
      [50, [1, 2, 30, 4], false, undefined],
    );
    const many = Array.from({ length: 2 * (4 + 21 + 3) }, (_, at) => at * 10);
    const header = oldHeader(many.slice(0, 8), 999, true);
    assert.isTrue(isFollowed(header));
    assert.isFalse(isFollowed(oldHeader([], 0)));
    const map = oldGnuMap(header);
    assert.isTrue(map.more?.(oldBlock(0, many.slice(8, 50), 504, true)));
    assert.isFalse(map.more?.(oldBlock(0, many.slice(50), 504, false)));
    assert.deepEqual(flat(map.extents), many);
    assert.equal(map.size, 999);
  });

  it('of old GNU headers are numbers', () => {
    const header = oldHeader([1, 2], 50);
    header.write('x', 386);
    assert.throws(() => oldGnuMap(header), TarError, 'has a header whose sparse map is not a number');
    const size = oldHeader([1, 2], 50);
    size.write('x', 483);
    assert.throws(() => oldGnuMap(size), TarError, 'has a header whose real size is not a number');
  });

  const FITS: readonly [what: string, size: number, extents: number[], stored: number, why?: string][] = [
    ['all hole', 10, [], 0],
    ['all data', 10, [0, 10], 10],
    ['pieces side by side', 10, [0, 5, 5, 5], 10],
    ['an empty piece at the end', 10, [0, 5, 10, 0], 5],
    ['pieces that overlap', 10, [0, 5, 4, 5], 10, 'has overlapping pieces in its sparse map'],
    ['pieces out of order', 10, [5, 5, 0, 5], 10, 'has overlapping pieces in its sparse map'],
    ['a negative length', 10, [0, -1], 0, 'has overlapping pieces in its sparse map'],
    ['a negative offset', 10, [-1, 2], 2, 'has overlapping pieces in its sparse map'],
    ['a piece beyond the end', 10, [9, 2], 2, UNFIT],
    ['too little data', 10, [0, 5], 4, UNFIT],
    ['too much data', 10, [0, 5], 6, UNFIT],
  ];
  for (const [what, size, numbers, stored, why] of FITS) {
    it(`with ${what} ${why === undefined ? 'fit' : 'do not fit'}`, () => {
      const extents: Extent[] = [];
      for (let at = 0; at < numbers.length; at += 2)
        extents.push({ offset: numbers[at] as number, length: numbers[at + 1] as number });
      const map = { size, extents, isCounted: true };
      if (why === undefined) {
        checkMap(map, stored);
        new Placer(map, stored).end();
      } else {
        assert.throws(() => checkMap(map, stored), TarError, why);
        assert.throws(() => new Placer(map, stored), TarError, why);
      }
    });
  }

  describe('of format 1.0', () => {
    const pax = { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '100' };
    const text = (lines: readonly (number | string)[]): Buffer => {
      const map = Buffer.from(`${lines.join('\n')}\n`);
      return Buffer.concat([map, Buffer.alloc((BLOCK - (map.length % BLOCK)) % BLOCK)]);
    };
    const read = (blocks: Buffer, data = Buffer.alloc(0), piece?: number): Map<number, number> => {
      const bytes = Buffer.concat([blocks, data]);
      return place(paxMap(pax) ?? assert.fail(), bytes, bytes.length, piece);
    };

    it('the map stands before the data, and is counted', () => {
      const map = paxMap(pax) ?? assert.fail();
      assert.deepEqual([map.size, map.isCounted], [100, true]);
      for (const piece of [undefined, 1, 511, 513])
        assert.deepEqual(
          [...read(text([2, 10, 2, 50, 1]), Buffer.from('abc'), piece)],
          [[10, 97], [11, 98], [50, 99]], // biome-ignore format: pairs
        );
      assert.isEmpty(read(text([0])));
    });

    it('the map may take several blocks, and end with one', () => {
      const pieces = Array.from({ length: 99 }, (_, at) => [at, 1]).flat();
      const found = read(text([99, ...pieces]), Buffer.alloc(99, 'x'), 100);
      assert.lengthOf([...found], 99);
      const exact = text([1, '0'.repeat(506), '']).subarray(0, BLOCK);
      assert.throws(() => read(exact), TarError, DAMAGED);
      const full = Buffer.from(`2\n${'1'.padStart(15, '0')}\n1\n`.padEnd(BLOCK, '\0'));
      assert.throws(() => read(full), TarError, 'ends within its sparse map');
    });

    const BAD: readonly [what: string, blocks: Buffer, why: string][] = [
      ['a count that is none', text(['x']), DAMAGED],
      ['a number that is none', text([1, '-1', 2]), DAMAGED],
      ['a line without end', Buffer.alloc(2 * BLOCK, '1'), DAMAGED],
      ['an end within the map', text([3, 0, 1]), 'ends within its sparse map'],
      ['an end before the map', Buffer.alloc(0), 'ends within its sparse map'],
      ['data that the map does not tell of', Buffer.concat([text([0]), Buffer.from('x')]), UNFIT],
    ];
    for (const [what, blocks, why] of BAD)
      it(`${what} is refused`, () => assert.throws(() => read(blocks), TarError, why));
  });

  it('of old GNU extension blocks are not counted', () => {
    const map = oldGnuMap(oldHeader([0, 1], 100, true));
    const bytes = Buffer.concat([oldBlock(0, [50, 2], 504, false), Buffer.from('abc')]);
    assert.deepEqual([...place(map, bytes, 3, 100)], [[0, 97], [50, 98], [51, 99]]); // biome-ignore format: pairs
  });

  it('place every byte where it belongs, however the data arrives', () => {
    const plan = fc.array(
      fc.record({ hole: fc.integer({ min: 0, max: 9 }), length: fc.integer({ min: 0, max: 9 }) }),
      { maxLength: 9 },
    );
    fc.assert(
      fc.property(plan, fc.integer({ min: 1, max: 20 }), (pieces, piece) => {
        const extents: Extent[] = [];
        let end = 0;
        for (const { hole, length } of pieces) {
          extents.push({ offset: end + hole, length });
          end += hole + length;
        }
        const offsets = extents.flatMap(({ offset, length }) =>
          Array.from({ length }, (_, at) => offset + at),
        );
        const data = Buffer.from(offsets.map((_, at) => at % 251));
        const found = place({ size: end, extents, isCounted: true }, data, data.length, piece);
        assert.deepEqual(
          [...found],
          offsets.map((offset, at) => [offset, at % 251]),
        );
      }),
    );
  });

  it('refuse data beyond their last piece', () => {
    const placer = new Placer({ size: 5, extents: [{ offset: 0, length: 1 }], isCounted: true }, 1);
    assert.throws(
      () => placer.place(Buffer.from('ab'), () => {}),
      TarError,
      'has more data than its sparse map',
    );
  });
});
