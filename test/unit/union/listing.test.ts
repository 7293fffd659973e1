/**
 * Protects reading a directory while it changes: a cookie stays with its name and is given once, so a reader who
 * goes on from a cookie neither misses nor repeats a name that was there all the time, and comes to an end.
 */
import { assert } from 'chai';
import { S } from '../../../fs/sys/constants.js';
import { Listing } from '../../../fs/union/nodes/listing.js';
import { Random } from '../../support/random.js';

const SEED = 3;
const MANY = 20_000;
const BATCH = 97;
const STEPS = 20_000;

function listingOf(count: number): Listing {
  const listing = new Listing();
  for (let index = 0; index < count; index++) listing.add(`name ${index}`, S.IFREG, index);
  return listing;
}

const names = (listing: Listing, cookie = 0): string[] => [...listing.after(cookie)].map(({ name }) => name);

/** The next names after a cookie, as one READDIR gives them. */
function read(listing: Listing, cookie: number, limit: number): { name: string; cookie: number }[] {
  const batch: { name: string; cookie: number }[] = [];
  for (const listed of listing.after(cookie)) {
    if (batch.length === limit) break;
    batch.push({ name: listed.name, cookie: listed.cookie });
  }
  return batch;
}

describe('union/listing: cookies', () => {
  it('leave 1 and 2 to "." and ".."', () => {
    assert.deepEqual(
      [...listingOf(2).after(0)].map(({ cookie }) => cookie),
      [3, 4],
    );
  });

  it('stay when what is known of a name is corrected', () => {
    const listing = listingOf(3);
    const before = listing.get('name 1')?.cookie;
    listing.add('name 1', S.IFDIR, 99n, 2);
    const { cookie, type, ino, skip } = listing.get('name 1') ?? {};
    assert.deepEqual({ cookie, type, ino, skip }, { cookie: before, type: S.IFDIR, ino: 99n, skip: 2 });
    assert.strictEqual(listing.size, 3);
  });

  it('are not given again, not even to the same name', () => {
    const listing = listingOf(3);
    const before = listing.get('name 1')?.cookie ?? 0;
    listing.remove('name 1');
    assert.isUndefined(listing.get('name 1'));
    listing.add('name 1', S.IFREG, 1);
    assert.isAbove(listing.get('name 1')?.cookie ?? 0, before);
    assert.deepEqual(names(listing), ['name 0', 'name 2', 'name 1']);
  });

  it('of removed names still say where to go on', () => {
    const listing = listingOf(5);
    const cookie = listing.get('name 2')?.cookie ?? 0;
    listing.remove('name 2');
    assert.deepEqual(names(listing, cookie), ['name 3', 'name 4']);
  });

  it('beyond the end give nothing', () => assert.isEmpty(names(listingOf(3), 1000)));

  it('removing what is not there changes nothing', () => {
    const listing = listingOf(2);
    listing.remove('other');
    listing.remove('name 0');
    listing.remove('name 0');
    assert.deepEqual([names(listing), listing.size], [['name 1'], 1]);
  });
});

describe('union/listing: reading while it changes', () => {
  it(`a loop that reads and removes finds all of ${MANY} names, once each`, () => {
    const listing = listingOf(MANY);
    const found: string[] = [];
    for (let cookie = 0; ; ) {
      const batch = read(listing, cookie, BATCH);
      const last = batch.at(-1);
      if (last === undefined) break;
      cookie = last.cookie;
      for (const { name } of batch) {
        found.push(name);
        listing.remove(name);
      }
    }
    assert.deepEqual(found, names(listingOf(MANY)));
    assert.strictEqual(listing.size, 0);
  });

  it('a loop that reads and renames ends, and the next reader finds the new names', () => {
    const listing = listingOf(1000);
    const found: string[] = [];
    for (let cookie = 0; ; ) {
      const batch = read(listing, cookie, BATCH);
      const last = batch.at(-1);
      if (last === undefined) break;
      cookie = last.cookie;
      for (const { name } of batch) {
        assert.isAtMost(found.push(name), 1000);
        listing.remove(name);
        listing.add(`new ${name}`, S.IFREG, 1);
      }
    }
    assert.deepEqual(found, names(listingOf(1000)));
    assert.deepEqual(
      names(listing),
      found.map((name) => `new ${name}`),
    );
  });

  it('a reader in the middle of its reply does not notice that removed names are swept out', () => {
    const listing = listingOf(1000);
    const found: string[] = [];
    for (const { name } of listing.after(0)) {
      found.push(name);
      listing.remove(name);
    }
    assert.lengthOf(found, 1000);
  });

  it('a name that is there all the time is read exactly once, whatever else comes and goes', () => {
    const random = new Random(SEED);
    const listing = listingOf(100);
    const kept: string[] = [];
    const others = Array.from({ length: 800 }, (_, index) => `other ${index}`);
    let [cookie, scans] = [0, 0];
    let expected: string[] = [];
    let seen: string[] = [];
    for (let step = 0; step < STEPS; step++) {
      const name = random.pick(others);
      if (random.below(2) === 0) listing.remove(name);
      else listing.add(name, S.IFREG, step);
      if (random.below(100) === 0) {
        kept.push(`kept ${step}`);
        listing.add(`kept ${step}`, S.IFREG, step);
      }
      if (random.below(8) > 0) continue;
      const batch = read(listing, cookie, 1 + random.below(20));
      seen.push(...batch.map((listed) => listed.name));
      cookie = batch.at(-1)?.cookie ?? 0;
      if (batch.length > 0) continue;
      const wanted = new Set(expected);
      const found = seen.filter((listed) => wanted.has(listed));
      assert.deepEqual(found, expected, `scan ${scans}`);
      expected = [...kept];
      seen = [];
      scans++;
    }
    assert.isAbove(scans, 10);
  });

  it('shows, to a reader from the beginning, exactly the names that are there, in the order of their cookies', () => {
    const random = new Random(SEED);
    const listing = new Listing();
    const model = new Set<string>();
    for (let step = 0; step < STEPS; step++) {
      const name = `name ${random.below(700)}`;
      if (random.below(2) === 0) {
        listing.remove(name);
        model.delete(name);
      } else {
        listing.add(name, S.IFREG, step);
        model.add(name);
      }
      if (step % 500 > 0) continue;
      assert.deepEqual(names(listing), [...model]);
      const cookies = [...listing.after(0)].map(({ cookie }) => cookie);
      assert.deepEqual(
        cookies,
        [...new Set(cookies)].sort((a, b) => a - b),
      );
    }
    assert.sameMembers(
      [...listing.names()].map(({ name }) => name),
      [...model],
    );
    assert.strictEqual(listing.size, model.size);
  });
});
