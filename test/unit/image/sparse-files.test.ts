/**
 * Protects disks from files that are mostly holes: through a layer's archive, an unpacked layer and a plain copy holes
 * stay holes, and the bytes are the same, wherever the holes are.
 */
import { closeSync, openSync, readFileSync, statSync, truncateSync, writeSync } from 'node:fs';
import { assert } from 'chai';
import { writeSparse } from '../../../fs/sys/write-sparse.js';
import { flatten } from '../../../fs/union/offline/flatten.js';
import { viewOf } from '../../../fs/union/offline/view.js';
import { packChanges } from '../../../runtime/image/layer/pack.js';
import { unpackLayer } from '../../../runtime/image/layer/unpack.js';
import { BlobFile } from '../../../runtime/image/store/spool.js';
import { collect, useScratch } from '../../support/image/scratch.js';

const MIB = 2 ** 20;
/** Bytes of a file that hold data, as [offset, length]; the others are holes. */
type Data = readonly (readonly [offset: number, length: number])[];
const FILES: Readonly<Record<string, { readonly size: number; readonly data: Data }>> = {
  'all hole': { size: 24 * MIB, data: [] },
  'hole at the start': { size: 24 * MIB, data: [[24 * MIB - 100, 100]] },
  'hole at the end': { size: 24 * MIB, data: [[0, 5000]] },
  'hole in the middle': {
    size: 24 * MIB + 1,
    data: [
      [0, 1],
      [24 * MIB, 1],
    ],
  },
  'holes on both sides': { size: 24 * MIB + 777, data: [[9 * MIB + 3, 70_000]] },
  'one byte': { size: 1, data: [] },
};
/** Blocks at the borders of data, and the filesystem's own. */
const SLACK = 256 * 1024;

const onDisk = (path: string): number => statSync(path).blocks * 512;

function make(path: string, { size, data }: { size: number; data: Data }): void {
  const fd = openSync(path, 'wx');
  for (const [offset, length] of data) writeSync(fd, Buffer.alloc(length, 'x'), 0, length, offset);
  closeSync(fd);
  truncateSync(path, size);
}

describe('sparse files', () => {
  const scratch = useScratch();
  let [lower, upper] = ['', ''];

  before(() => {
    [lower, upper] = [scratch.fresh('lower'), scratch.fresh('upper')];
    for (const [name, file] of Object.entries(FILES)) make(`${upper}/${name}`, file);
  });

  function assertSparse(directory: string): void {
    for (const name of Object.keys(FILES)) {
      const [path, original] = [`${directory}/${name}`, `${upper}/${name}`];
      assert.isTrue(readFileSync(path).equals(readFileSync(original)), name);
      assert.isBelow(onDisk(path), onDisk(original) + SLACK, name);
    }
  }

  it('stay sparse through a layer, however its bytes arrive', async () => {
    const directory = scratch.fresh('unpacked');
    await unpackLayer(packChanges({ lowers: [lower], upper }), directory);
    assertSparse(directory);
    const odd = await scratch.unpack(await collect(packChanges({ lowers: [lower], upper })), 10_001);
    assertSparse(odd);
  });

  it('take no space in a stored archive, whose bytes and digest are those of any other', async () => {
    const tar = await collect(packChanges({ lowers: [lower], upper }));
    const path = scratch.path('blob');
    const blob = new BlobFile(path, { what: 'the blob' }, () => {});
    for (let at = 0; at < tar.length; at += 65_536) blob.write(tar.subarray(at, at + 65_536));
    assert.equal(blob.end().size, tar.length);
    assert.isTrue(readFileSync(path).equals(tar));
    assert.isBelow(onDisk(path), 2 * MIB);
  });

  it('stay sparse in a plain copy', () => {
    const directory = scratch.fresh('copy');
    const view = viewOf({ lowers: [upper] });
    const to = openSync(directory, 'r');
    flatten(view, to);
    closeSync(to);
    view.close();
    assertSparse(directory);
  });

  it('may end behind 4 GiB', () => {
    const path = scratch.path('huge');
    const fd = openSync(path, 'wx+');
    const end = 5 * 2 ** 30;
    assert.equal(writeSparse(fd, Buffer.alloc(100_000), end), 0);
    assert.equal(writeSparse(fd, Buffer.from('x'), end + 100_000), end + 100_001);
    closeSync(fd);
    assert.equal(statSync(path).size, end + 100_001);
    assert.isBelow(onDisk(path), SLACK);
  });

  it('of a length that no store unpacks are refused before they are read', async () => {
    const huge = scratch.fresh('huge');
    make(`${huge}/lastlog`, { size: 2 ** 40, data: [] });
    const failure = await collect(packChanges({ lowers: [lower], upper: huge })).catch(String);
    assert.match(String(failure), /"lastlog" exceeds the layer's limit of/);
  });
});
