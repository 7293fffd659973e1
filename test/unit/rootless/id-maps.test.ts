/** Protects which ids a user gets inside: every one of its own once, in the documented order, and nobody else's. */
import { assert } from 'chai';
import {
  formatMaps,
  type IdMaps,
  type IdRange,
  rangeMaps,
  singleMaps,
} from '../../../runtime/rootless/id-maps.js';
import { rangesOf } from '../../../runtime/rootless/subordinate-ids.js';

const ADA = { uid: 1000, gid: 1001, userName: 'ada' };

const maps = (file: string, place: 'root' | 'own' = 'root'): IdMaps =>
  rangeMaps(ADA, { uids: rangesOf(ADA, file), gids: rangesOf(ADA, file) }, place);

describe('id maps', () => {
  for (const [what, file, expected] of [
    ['a line of the name', 'ada:100000:65536\n', '0 1000 1\n1 100000 65536\n'],
    ['a line of the uid', '1000:100000:65536\n', '0 1000 1\n1 100000 65536\n'],
    [
      'several lines follow each other',
      'ada:5000:10\nbob:1:1\nada:9000:5\n',
      '0 1000 1\n1 5000 10\n11 9000 5\n',
    ],
    ['what is no line is skipped', '# ada:1:1\n\nada\nada:x:1\nada:1:0\nada:7:7', '0 1000 1\n1 7 7\n'],
    ['a range beyond the last id is skipped', 'ada:4294967290:10\nada:7:7\n', '0 1000 1\n1 7 7\n'],
  ] as const) {
    it(`ranges: ${what}`, () => assert.equal(formatMaps(maps(file).uids), expected));
  }

  it("another's lines are not the caller's", () => {
    assert.isEmpty(rangesOf(ADA, 'bob:100000:65536\nadam:1:1\n'));
  });

  it('one id is root, or itself', () => {
    assert.equal(formatMaps(singleMaps(ADA, 'root').gids), '0 1001 1\n');
    assert.equal(formatMaps(singleMaps(ADA, 'own').uids), '1000 1000 1\n');
  });

  const pairs = (ranges: readonly IdRange[]): [number, number][] =>
    ranges.flatMap(({ inside, outside, count }) =>
      Array.from({ length: count }, (_, index): [number, number] => [inside + index, outside + index]),
    );

  for (const file of ['ada:100000:65536\n', 'ada:100000:500\nada:200000:5000\n', 'ada:100000:10\n']) {
    it(`a kept id is itself, and the others keep their order: ${JSON.stringify(file)}`, () => {
      const kept = pairs(maps(file, 'own').uids);
      assert.deepInclude(kept, [1000, 1000]);
      const others = (all: [number, number][]) => all.filter(([, outside]) => outside !== 1000);
      const outside = (all: [number, number][]) => others(all).map(([, id]) => id);
      assert.deepEqual(outside(kept), outside(pairs(maps(file).uids)));
      const expected = others(kept).map((_, index) => (index < 1000 ? index : index + 1));
      assert.deepEqual(
        others(kept).map(([inside]) => inside),
        expected,
      );
    });
  }
});
