/** Protects the index: every name belongs to one image, no image is lost with its last name, and the same index is written the same. */
import { assert } from 'chai';
import fc from 'fast-check';
import type { Descriptor, Digest, Index } from '../../../runtime/image/oci.js';
import {
  EMPTY_INDEX,
  imagesOf,
  NAME_ANNOTATION,
  nameOf,
  namesOf,
  withImage,
  withoutManifests,
  withoutName,
} from '../../../runtime/image/store/index-file.js';

const digest = (at: number): Digest => `sha256:${String(at).repeat(64)}`;
const image = (at: number): Descriptor => ({ mediaType: 'm', digest: digest(at), size: at });

/** What an index means: each image's names, in the order of the index. */
const meaning = (index: Index): [Digest, string[]][] =>
  imagesOf(index).map((one) => [one.digest, namesOf(index, one.digest)]);

const TWO = withImage(withImage(EMPTY_INDEX, image(1), ['b', 'a']), image(2), ['c']);

describe('image index', () => {
  it('an empty one has no images', () => {
    assert.deepEqual(EMPTY_INDEX, { schemaVersion: 2, manifests: [] });
    assert.isEmpty(imagesOf(EMPTY_INDEX));
  });

  it('has one descriptor per name, sorted, and one without a name for an image without', () => {
    assert.deepEqual(withImage(TWO, image(3), []), {
      schemaVersion: 2,
      manifests: [
        { ...image(1), annotations: { [NAME_ANNOTATION]: 'a' } },
        { ...image(1), annotations: { [NAME_ANNOTATION]: 'b' } },
        { ...image(2), annotations: { [NAME_ANNOTATION]: 'c' } },
        image(3),
      ],
    });
    assert.equal(NAME_ANNOTATION, 'org.opencontainers.image.ref.name');
  });

  it('is sorted by name, in whatever order names came', () => {
    const names = (index: Index) => index.manifests.map(nameOf);
    assert.deepEqual(names(withImage(TWO, image(2), ['b2', 'a'])), ['b', 'a', 'b2', 'c']);
    const unsorted: Index = { schemaVersion: 2, manifests: [...TWO.manifests].reverse() };
    assert.deepEqual(namesOf(unsorted, digest(1)), ['a', 'b']);
  });

  it('keeps of a descriptor what the store needs', () => {
    const more = { ...image(1), urls: ['u'], annotations: { [NAME_ANNOTATION]: 'old', x: 'y' } };
    assert.deepEqual(withImage(EMPTY_INDEX, more, []).manifests, [image(1)]);
    assert.equal(nameOf(more), 'old');
    assert.isUndefined(nameOf(image(1)));
  });

  const CHANGES: readonly [what: string, after: Index, expected: [number, string[]][]][] = [
    ['an image that comes again is the last one, and keeps its names', withImage(TWO, image(1), ['z']), [[2, ['c']], [1, ['a', 'b', 'z']]]], // biome-ignore format: a table
    ['a name that is given away leaves its image nameless', withImage(TWO, image(1), ['c']), [[2, []], [1, ['a', 'b', 'c']]]], // biome-ignore format: a table
    ['a name that is given twice is one name', withImage(TWO, image(3), ['n', 'n']), [[1, ['a', 'b']], [2, ['c']], [3, ['n']]]], // biome-ignore format: a table
    ['a name is taken away, its image stays', withoutName(TWO, 'c'), [[1, ['a', 'b']], [2, []]]], // biome-ignore format: a table
    ['one of several names is taken away', withoutName(TWO, 'a'), [[1, ['b']], [2, ['c']]]], // biome-ignore format: a table
    ['a name that nothing has is no change', withoutName(TWO, 'x'), [[1, ['a', 'b']], [2, ['c']]]], // biome-ignore format: a table
    ['manifests go with all their names', withoutManifests(TWO, [digest(1)]), [[2, ['c']]]], // biome-ignore format: a table
  ];
  for (const [what, after, expected] of CHANGES) {
    it(what, () => {
      assert.deepEqual(
        meaning(after),
        expected.map(([at, names]) => [digest(at), names]),
      );
      assert.equal(after.schemaVersion, 2);
    });
  }

  it('is a map of names to images, whatever happens to it', () => {
    const step = fc.record({
      at: fc.integer({ min: 1, max: 3 }),
      names: fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 3 }),
      removed: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 8 }), (steps) => {
        let index = EMPTY_INDEX;
        const owners = new Map<string, Digest>();
        for (const { at, names, removed } of steps) {
          if (removed) {
            const [name = 'a'] = names;
            index = withoutName(index, name);
            owners.delete(name);
            continue;
          }
          index = withImage(index, image(at), names);
          for (const name of names) owners.set(name, digest(at));
        }
        const found = index.manifests.flatMap((one) => {
          const name = nameOf(one);
          return name === undefined ? [] : [[name, one.digest] as const];
        });
        assert.sameDeepMembers(found, [...owners]);
      }),
      { numRuns: 50 },
    );
  });
});
