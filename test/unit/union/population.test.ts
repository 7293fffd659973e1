/**
 * Protects the server's memory: above a bound the kernel is asked to forget nodes, the oldest first, all of them in turn,
 * and not at every step; and listings do not pile up.
 */
import { assert } from 'chai';
import type { NodeId } from '../../../fs/protocol/filesystem.js';
import type { LayerDirectory } from '../../../fs/union/layers/layer.js';
import { Listing } from '../../../fs/union/nodes/listing.js';
import { DirectoryNode } from '../../../fs/union/nodes/node.js';
import { Population, type Pruning } from '../../../fs/union/nodes/population.js';

const LIMIT = 1000;

function directory(id: number): DirectoryNode {
  const node = new DirectoryNode(
    id as NodeId,
    id,
    { parent: undefined, name: '' },
    { upper: undefined, lowers: [] as LayerDirectory[] },
  );
  node.lookups = 1;
  return node;
}

const asking = (ask: (nodes: readonly NodeId[]) => void): Pruning => ({ isIdle: () => true, ask });

describe('union/population', () => {
  it('asks for nothing while the kernel has not done what it was asked for', () => {
    let isIdle = true;
    const asked: number[] = [];
    const pruning: Pruning = {
      isIdle: () => isIdle,
      ask: (nodes) => {
        asked.push(...nodes);
        isIdle = false;
      },
    };
    const population = new Population(LIMIT, pruning);
    for (let id = 1; id <= 2 * LIMIT; id++) population.add(directory(id));
    const first = asked.length;
    assert.isBelow(first, LIMIT / 2);
    isIdle = true;
    for (let id = 1; id <= LIMIT; id++) population.add(directory(2 * LIMIT + id));
    assert.isAtLeast(asked.length - first, LIMIT, 'then for all that are too many');
  });

  it('stays near its bound where the kernel forgets what it is asked to', () => {
    let asked = 0;
    const pruning = asking((nodes) => {
      asked++;
      for (const id of nodes) population.delete(population.get(id) ?? assert.fail(`${id} is not known`));
    });
    const population = new Population(LIMIT, pruning);
    for (let id = 1; id <= 20 * LIMIT; id++) {
      population.add(directory(id));
      assert.isAtMost(population.size, LIMIT * 1.1);
    }
    assert.isBelow(asked, (20 * LIMIT) / 10, 'in batches');
    assert.isDefined(population.get((20 * LIMIT) as NodeId), 'the newest stays');
  });

  it('asks for every node in turn where the kernel keeps them, and goes on', () => {
    const asked = new Set<number>();
    let messages = 0;
    const pruning = asking((nodes) => {
      messages++;
      for (const id of nodes) asked.add(id);
    });
    const population = new Population(LIMIT, pruning);
    for (let id = 1; id <= 3 * LIMIT; id++) population.add(directory(id));
    for (let id = 1; id <= LIMIT; id++) assert.isTrue(asked.has(id), `${id}`);
    assert.isBelow(messages, LIMIT / 4);
  });

  it('asks nobody below the bound, nor for what the kernel does not know', () => {
    const asked: number[] = [];
    const population = new Population(
      LIMIT,
      asking((nodes) => asked.push(...nodes)),
    );
    const unknown = directory(1);
    unknown.lookups = 0;
    population.add(unknown);
    for (let id = 2; id <= LIMIT; id++) population.add(directory(id));
    assert.deepEqual(asked, []);
    population.add(directory(LIMIT + 1));
    assert.notInclude(asked, 1);
    assert.isNotEmpty(asked);
  });

  it('forgets the listings that were made first when there are too many names, never the one that is read', () => {
    const population = new Population(LIMIT);
    const directories = Array.from({ length: 10 }, (_, index) => directory(index + 1));
    for (const node of directories) {
      population.add(node);
      node.listing = new Listing();
      population.listed(node, LIMIT);
    }
    const kept = directories.filter(({ listing }) => listing !== undefined);
    assert.deepEqual(kept, directories.slice(-4));
    const [first] = directories;
    if (first === undefined) return;
    first.listing = new Listing();
    population.listed(first, 100 * LIMIT);
    assert.deepEqual(
      directories.filter(({ listing }) => listing !== undefined),
      [first],
    );
    for (const node of directories) population.delete(node);
    assert.equal(population.size, 0);
  });
});
