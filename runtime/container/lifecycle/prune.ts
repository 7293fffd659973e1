/** Removes stopped containers. Rule: a container is removed only under its lock, so that no other command is using it. */
import { treeSize } from '../../image/store/tree-size.js';
import { ContainerLock } from '../records/container-lock.js';
import { directoryOf, listRecords, removeContainer, statusOf } from '../records/containers.js';
import type { ContainerRecord } from '../records/record.js';

/** @returns the IDs of the removed containers, and the bytes that were freed */
export function pruneContainers(root: string): { readonly ids: readonly string[]; readonly freed: number } {
  const ended = listRecords(root).filter((record) => hasEnded(root, record));
  const ids: string[] = [];
  let freed = 0;
  for (const record of ended) {
    const lock = ContainerLock.take(root, record.id);
    if (lock === undefined) continue;
    try {
      if (!hasEnded(root, record)) continue;
      freed += treeSize(directoryOf(root, record.id));
      removeContainer(root, record.id);
      ids.push(record.id);
    } finally {
      lock.release();
    }
  }
  return { ids, freed };
}

const hasEnded = (root: string, record: ContainerRecord): boolean => statusOf(root, record).is === 'exited';
