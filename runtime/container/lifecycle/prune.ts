/** Removes containers that have ended. Rule: only who holds a container may remove it, so none is taken away from under anybody. */
import { treeSize } from '../../image/store/tree-size.js';
import { Hold } from '../records/container-lock.js';
import { directoryOf, listRecords, removeContainer, statusOf } from '../records/containers.js';
import type { ContainerRecord } from '../records/record.js';

/** @returns the IDs of what was removed, and the bytes that made free */
export function pruneContainers(root: string): { readonly ids: readonly string[]; readonly freed: number } {
  const ended = listRecords(root).filter((record) => hasEnded(root, record));
  const ids: string[] = [];
  let freed = 0;
  for (const record of ended) {
    const hold = Hold.take(root, record.id);
    if (hold === undefined) continue;
    try {
      if (!hasEnded(root, record)) continue;
      freed += treeSize(directoryOf(root, record.id));
      removeContainer(root, record.id);
      ids.push(record.id);
    } finally {
      hold.release();
    }
  }
  return { ids, freed };
}

const hasEnded = (root: string, record: ContainerRecord): boolean => statusOf(root, record).is === 'exited';
