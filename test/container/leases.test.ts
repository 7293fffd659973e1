/**
 * Protects what containers are made of: a layer stays as long as a lease names it, whoever removes images and whatever
 * died in between; a lease goes with its container and is never left for ever; stores of earlier versions have none.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { assert } from 'chai';
import { UsageError } from '../../fs/index.js';
import { checkStore } from '../../runtime/container/lifecycle/check.js';
import { leaseOf } from '../../runtime/container/records/container-lease.js';
import { ContainerLock } from '../../runtime/container/records/container-lock.js';
import { createContainer, removeContainer } from '../../runtime/container/records/containers.js';
import { reconcileLeases } from '../../runtime/container/records/reconcile.js';
import type { ContainerRecord } from '../../runtime/container/records/record.js';
import { readLeases, writeLease } from '../../runtime/image/store/leases.js';
import { pruneImages, removeImage } from '../../runtime/image/store/removal.js';
import { Store } from '../../runtime/image/store/store.js';
import { imageUse } from '../../runtime/image/store/usage.js';
import { recordOf } from '../support/container/record.js';
import { addImage, imageOf } from '../support/image/small-image.js';
import { useWorkshop } from '../support/image/workshop.js';

const ID = 'c0'.repeat(32);
const USED = imageOf('used:1', [{ name: 'used', data: 'used' }]);
const OTHER = imageOf('other:1', [{ name: 'other', data: 'other' }]);

describe('leases', function () {
  this.timeout(60_000);
  const shop = useWorkshop();
  const saved = process.env['TSCR_RUN'];
  let count = 0;
  before(() => {
    process.env['TSCR_RUN'] = shop.path('run');
  });
  after(() => {
    if (saved === undefined) delete process.env['TSCR_RUN'];
    else process.env['TSCR_RUN'] = saved;
  });

  /** A store with two images. */
  async function prepared(): Promise<{ store: Store; record: ContainerRecord }> {
    const root = shop.path(`store-${count++}`);
    await addImage(root, USED);
    await addImage(root, OTHER);
    const store = Store.open(root);
    return { store, record: boxOf(store) };
  }

  const boxOf = (store: Store): ContainerRecord => recordOf(store, 'used:1', ID, 'box');

  const layersOf = (store: Store): number => readdirSync(join(store.root, 'layers')).length;
  const leasePath = (store: Store): string => join(store.root, 'leases', `container-${ID}.json`);
  const nameOf = (store: Store): string => store.root.split('/').at(-1) as string;

  async function refusal(store: Store): Promise<string> {
    const error = await removeImage(store, 'used:1', false).catch((thrown: unknown) => thrown);
    assert.instanceOf(error, UsageError);
    return (error as Error).message;
  }

  /** Removes all images by force; how many layers stay. */
  async function emptied(store: Store): Promise<number> {
    for (const image of store.list()) await removeImage(store, image.names[0] ?? image.id, true);
    return layersOf(store);
  }

  it("a container's names its image and layers, and goes with it", async () => {
    const { store, record } = await prepared();
    createContainer(store.root, record);
    const { id, layerKeys } = store.find('used:1');
    assert.deepEqual(readLeases(store.root), {
      leases: [
        {
          holder: { kind: 'container', id: ID, name: 'box' },
          since: record.created,
          image: id,
          layers: layerKeys,
        },
      ],
      damaged: [],
    });
    assert.equal(imageUse(store).active, 1);
    assert.include(await refusal(store), 'container "box" uses image "used:1"');
    assert.deepEqual((await pruneImages(store, true)).images.length, 1, 'the other one');
    assert.equal(await emptied(store), 1, 'not even by force');
    removeContainer(store.root, ID);
    assert.isFalse(existsSync(leasePath(store)));
    await pruneImages(store, true);
    assert.equal(layersOf(store), 0);
  });

  it('a container that cannot be made leaves none', async () => {
    const { store, record } = await prepared();
    createContainer(store.root, record);
    const twin = { ...record, id: 'd1'.repeat(32) };
    assert.throws(() => createContainer(store.root, twin), UsageError);
    assert.lengthOf(readLeases(store.root).leases, 1);
  });

  it('is enough for removals: no record is read', async () => {
    const { store, record } = await prepared();
    createContainer(store.root, record);
    truncateSync(join(store.root, 'containers', ID, 'container.json'), 10);
    assert.include(await refusal(store), 'container "box" uses image "used:1"');
    assert.equal(await emptied(store), 1, 'what the record cannot tell the lease tells');
  });

  it('of an unknown kind, as later versions write, holds too', async () => {
    const { store, record } = await prepared();
    const lease = leaseOf(record);
    writeLease(store.root, { ...lease, holder: { kind: 'build', id: 'x1', name: 'a build' } });
    await reconcileLeases(store);
    assert.include(await refusal(store), 'build "a build" uses image "used:1"; remove the build first');
    assert.equal(await emptied(store), 1);
  });

  it('one that cannot be read keeps all layers, and is written again from the record', async () => {
    const { store, record } = await prepared();
    createContainer(store.root, record);
    truncateSync(leasePath(store), 0);
    assert.equal(await emptied(store), 2);
    await addImage(store.root, USED);
    const [finding] = (await checkStore(store, false)).findings;
    assert.equal(finding?.what, 'container "box"');
    assert.include(finding?.problem, 'has no readable lease');
    const [mended] = (await checkStore(store, true)).findings;
    assert.equal(mended?.repaired, 'written from its record');
    assert.isEmpty((await checkStore(store, false)).findings);
    await pruneImages(store, true);
    assert.equal(layersOf(store), 1);
  });

  describe('in a store of an earlier version, which has none,', () => {
    async function old(): Promise<Store> {
      const { store, record } = await prepared();
      createContainer(store.root, record);
      rmSync(join(store.root, 'leases'), { recursive: true });
      return store;
    }

    it('nothing is taken from a container, whoever removes', async () => {
      assert.equal(await emptied(await old()), 2, 'a removal without a look at containers');
    });

    it('they are made by the first command that relies on them', async () => {
      const store = await old();
      const refused = shop.tscr(['rmi', 'used:1'], { store: nameOf(store) });
      assert.deepEqual(
        [refused.status, refused.stderr],
        [125, 'tscr rmi: container "box" uses image "used:1"; remove the container first, or use --force\n'],
      );
      assert.deepEqual(readLeases(store.root).leases, [leaseOf(boxOf(store))]);
      shop.succeed(['rmi', '-f', 'used:1', 'other:1'], nameOf(store));
      assert.equal(layersOf(store), 1);
    });

    for (const [what, args] of [
      ['df', ['system', 'df', '--json']],
      ['prune', ['system', 'prune', '-f']],
      ['check --repair', ['system', 'check', '--repair']],
    ] as const) {
      it(`by ${what} too`, async () => {
        const store = await old();
        shop.tscr(args, { store: nameOf(store) });
        const isThere = existsSync(join(store.root, 'containers', ID));
        assert.equal(existsSync(leasePath(store)), isThere);
      });
    }

    it('a store that may only be read stays as it is', async () => {
      const store = await old();
      shop.succeed(['images'], nameOf(store));
      shop.succeed(['ps', '-a'], nameOf(store));
      assert.isFalse(existsSync(leasePath(store)));
    });
  });

  /** What a death leaves, by the steps of a container's making and its removal. */
  const DEATHS: readonly (readonly [what: string, leave: (store: Store, record: ContainerRecord) => void])[] =
    [
      ['after the lease was written', (store, record) => writeLease(store.root, leaseOf(record))],
      [
        'while the directory was made',
        (store, record) => {
          writeLease(store.root, leaseOf(record));
          mkdirSync(join(store.root, 'containers', `.${ID}`, 'diff'), { recursive: true });
        },
      ],
      [
        'while the files were removed',
        (store, record) => {
          createContainer(store.root, record);
          const lease = readFileSync(leasePath(store));
          removeContainer(store.root, ID);
          mkdirSync(join(store.root, 'containers', `.${ID}`, 'diff/some'), { recursive: true });
          writeFileSync(leasePath(store), lease);
        },
      ],
    ];
  for (const [what, leave] of DEATHS) {
    it(`of a container that died ${what}: held as long as it is worked on, then released`, async () => {
      const { store, record } = await prepared();
      leave(store, record);
      const hold = ContainerLock.take(store.root, ID) ?? assert.fail('it is free');
      await reconcileLeases(store);
      assert.isTrue(existsSync(leasePath(store)), 'it may be about to rely on its layers');
      assert.equal(await emptied(store), 1);
      hold.release();
      shop.succeed(['system', 'prune', '-f'], nameOf(store));
      assert.isFalse(existsSync(leasePath(store)));
      assert.equal(layersOf(store), 0);
      assert.isEmpty(
        existsSync(join(store.root, 'containers')) ? readdirSync(join(store.root, 'containers')) : [],
      );
    });
  }
});
