/**
 * Protects a store with damage: a part that is there in name only, of another length or gone, does not count as present,
 * and the next load of the same image brings it.
 */
import { createHash } from 'node:crypto';
import { appendFileSync, readdirSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { assert } from 'chai';
import { useWorkshop, type Workshop } from '../support/image/workshop.js';

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** The compressed layer: the largest blob. */
function layerBlob(shop: Workshop, store: string): string {
  const directory = shop.path(store, 'blobs', 'sha256');
  const sized = readdirSync(directory).map((name) => ({ name, size: statSync(`${directory}/${name}`).size }));
  const [largest] = sized.sort((a, b) => b.size - a.size);
  return `${directory}/${largest?.name}`;
}

describe('the image store: what counts as present', function () {
  this.timeout(60_000);
  const shop = useWorkshop();
  before(() => shop.layout('app', { one: [{ '/a': 'a'.repeat(100_000) }] }));

  const DAMAGES: Record<string, (blob: string) => void> = {
    'a blob cut short': (blob) => truncateSync(blob, 10),
    'an empty blob': (blob) => truncateSync(blob, 0),
    'a blob with bytes too many': (blob) => appendFileSync(blob, 'x'),
    'a blob that is gone': (blob) => rmSync(blob),
  };
  for (const [at, [title, damage]] of Object.entries(DAMAGES).entries()) {
    it(`${title} is brought by the next load`, () => {
      const store = `store${at}`;
      shop.succeed(['load', '-q', '-i', 'app'], store);
      const blob = layerBlob(shop, store);
      damage(blob);
      shop.succeed(['load', '-q', '-i', 'app'], store);
      assert.equal(sha256(readFileSync(blob)), blob.slice(-64));
      shop.succeed(['save', '-o', `${store}.tar`, 'app:one'], store);
    });
  }

  it('an unpacked layer that is gone is unpacked again', () => {
    shop.succeed(['load', '-q', '-i', 'app'], 'layers');
    const [layer] = readdirSync(shop.path('layers', 'layers'));
    rmSync(shop.path('layers', 'layers', layer as string), { recursive: true });
    shop.succeed(['load', '-q', '-i', 'app'], 'layers');
    assert.equal(statSync(shop.path('layers', 'layers', layer as string, 'diff', 'a')).size, 100_000);
  });
});
