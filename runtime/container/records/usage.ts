/** Disk usage of containers. */
import type { Store } from '../../image/store/store.js';
import { treeSize } from '../../image/store/tree-size.js';
import type { Use } from '../../image/store/usage.js';
import { listRecords, statusOf } from './containers.js';

/** Size of the containers' changes; running containers are active. */
export function containerUse(store: Store): Use {
  const sizes = listRecords(store.root).map((record) => ({
    isRunning: statusOf(store.root, record).is === 'running',
    size: treeSize(record.upper),
  }));
  const sum = (some: typeof sizes): number => some.reduce((bytes, { size }) => bytes + size, 0);
  const running = sizes.filter(({ isRunning }) => isRunning);
  const size = sum(sizes);
  return { total: sizes.length, active: running.length, size, reclaimable: size - sum(running) };
}
