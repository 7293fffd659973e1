/**
 * Makes leases and containers agree.
 *
 * Rules: a container without a readable lease gets one from its record: an earlier version created it. A lease
 * without a container is removed under the container's lock, so never while one is being created or removed. All of it
 * happens under the exclusive lock of the store, since containers are created under the shared one. If the disk is too
 * full for a lease, no layer is removed until it is written (`leases.ts`).
 */
import { existsSync } from 'node:fs';
import { isFull } from '../../../fs/input/json-file.js';
import {
  CONTAINER,
  containersWithoutLease,
  leaseholders,
  leaseName,
  readLeases,
  removeLease,
  writeLease,
} from '../../image/store/leases.js';
import { isWritable } from '../../image/store/place.js';
import type { Store } from '../../image/store/store.js';
import { holderOfContainer, leaseOf } from './container-lease.js';
import { directoryOf, endAbandoned, listRecords } from './containers.js';
import type { ContainerRecord } from './record.js';

/** To be called before leases are relied on. Does nothing to a read-only store. */
export async function reconcileLeases(store: Store): Promise<void> {
  const { root } = store;
  const agrees = unleased(root).length === 0 && unheld(root).length === 0;
  if (agrees || !isWritable(root)) return;
  await store.exclusively(() => reconcile(root));
}

/** The same, under the exclusive lock of the store. */
export function reconcile(root: string): void {
  for (const record of unleased(root)) adopt(root, record);
  for (const id of unheld(root)) endAbandoned(root, id);
}

/** Containers whose lease is missing, or cannot be read. */
export function unleased(root: string): ContainerRecord[] {
  const damaged = new Set(readLeases(root).damaged.map(({ name }) => name));
  const missing = new Set(containersWithoutLease(root));
  return missing.size + damaged.size === 0
    ? []
    : listRecords(root).filter(({ id }) => missing.has(id) || damaged.has(leaseName(holderOfContainer(id))));
}

/** IDs of leases whose container is gone. */
export const unheld = (root: string): string[] =>
  leaseholders(root, CONTAINER).filter((id) => !existsSync(directoryOf(root, id)));

function adopt(root: string, record: ContainerRecord): void {
  try {
    writeLease(root, leaseOf(record));
  } catch (error) {
    if (!isFull(error)) throw error;
  }
  if (!existsSync(directoryOf(root, record.id))) removeLease(root, holderOfContainer(record.id)); // just removed
}
