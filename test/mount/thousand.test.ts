/** Protects the number of layers: the kernel's overlayfs ends at 500, the union does not. */
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { assert } from 'chai';
import { list, mountAt, type Union, usePlace } from '../support/mount/place.js';

const SUITE = 'a thousand lower layers';
const COUNT = 1000;

describe(SUITE, () => {
  const place = usePlace(SUITE);
  let union: Union;
  const own = (layer: number): string => `own${String(layer).padStart(4, '0')}`;

  before(() => {
    union = place.union('k', {
      lowers: Array.from({ length: COUNT }, (_, layer) => ({
        common: `layer ${layer}`,
        [own(layer)]: `own ${layer}`,
        [`dir/${own(layer)}`]: `inside ${layer}`,
      })),
    });
  });

  it('are listed, and merge their directories', () => {
    const names = Array.from({ length: COUNT }, (_, layer) => own(layer));
    assert.deepEqual(list(union.mountpoint), ['common', 'dir', ...names]);
    assert.deepEqual(list(union.at('dir')), names);
  });

  it('are read: the top one covers, the bottom one shows', () => {
    assert.equal(readFileSync(union.at('common'), 'latin1'), 'layer 0');
    for (const layer of [0, 1, 499, 500, 501, COUNT - 1]) {
      assert.equal(readFileSync(union.at(own(layer)), 'latin1'), `own ${layer}`);
      assert.equal(readFileSync(union.at(`dir/${own(layer)}`), 'latin1'), `inside ${layer}`);
    }
    assert.throws(() => readFileSync(union.at('dir/absent')), 'ENOENT');
  });

  it('are copied up from, the bottom one too', () => {
    appendFileSync(union.at(`dir/${own(COUNT - 1)}`), '!');
    assert.equal(readFileSync(join(union.upper, 'dir', own(COUNT - 1)), 'latin1'), `inside ${COUNT - 1}!`);
    assert.lengthOf(list(union.at('dir')), COUNT);
  });

  it('are all told by inspect; /proc/mounts shows as many as fit', () => {
    const told = JSON.parse(place.succeed(['inspect', '--json', union.mountpoint])) as { lowers: string[] };
    assert.deepEqual(told.lowers, union.lowers);
    assert.isTrue(
      mountAt(union.mountpoint)?.source.startsWith(`lowerdir=${union.lowers.slice(0, 5).join(':')}:`),
    );
  });
});
