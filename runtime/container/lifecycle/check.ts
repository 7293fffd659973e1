/**
 * `system check` of a whole store: its images and layers, and the containers that use them.
 *
 * Rules: a layer that a running container has mounted is not repaired. An unreadable record of a container is reported
 * with advice, and stays. Leases follow from the records, so they are repaired from those.
 */
import { statSync } from 'node:fs';
import {
  ASK_REPAIR,
  checkImages,
  type Finding,
  LOAD_AGAIN,
  type Report,
  type Tenants,
} from '../../image/check/check.js';
import { leaseName, readLeases } from '../../image/store/leases.js';
import type { Store } from '../../image/store/store.js';
import { holderOfContainer } from '../records/container-lease.js';
import { damagedEnds, damagedRecords, listRecords, shortId, statusOf } from '../records/containers.js';
import { reconcile, unheld, unleased } from '../records/reconcile.js';

/** Checks a store under its exclusive lock. Throws `UsageError` if it is to be repaired and is not writable. */
export const checkStore = (store: Store, repair: boolean): Promise<Report> =>
  checkImages(store, repair, new Containers(store.root));

class Containers implements Tenants {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  userOf(layer: string): string | undefined {
    const root = this.#root;
    return listRecords(root).find(
      (record) => record.lowers.includes(layer) && statusOf(root, record).is === 'running',
    )?.name;
  }

  examine(repair: boolean): { findings: Finding[]; count: number } {
    const records = listRecords(this.#root);
    const damaged = damagedRecords(this.#root);
    const findings = [
      ...damaged.map(({ id, problem }) => ({
        what: `container "${shortId(id)}"`,
        problem,
        advice: `remove it with "tscr rm ${shortId(id)}"`,
      })),
      ...damagedEnds(this.#root).map(({ name, id, problem }) => ({
        what: `container "${name}"`,
        problem: `its exit record cannot be read: ${problem}`,
        advice: `remove it with "tscr rm ${shortId(id)}"`,
      })),
      ...records.flatMap(({ name, lowers }) => {
        const missing = lowers.find((lower) => statSync(lower, { throwIfNoEntry: false }) === undefined);
        return missing === undefined
          ? []
          : [
              {
                what: `container "${name}"`,
                problem: `its layer "${missing}" is missing`,
                advice: LOAD_AGAIN,
              },
            ];
      }),
      ...this.#leases(repair),
    ];
    return { findings, count: records.length + damaged.length };
  }

  #leases(repair: boolean): Finding[] {
    const root = this.#root;
    const repaired = (how: string) => (repair ? { repaired: how } : {});
    const missing = unleased(root).map(({ name }) => ({
      what: `container "${name}"`,
      problem: 'it has no readable lease, so no layer is removed',
      advice: ASK_REPAIR,
      ...repaired('written from its record'),
    }));
    const stale = unheld(root).map((id) => ({
      what: `the lease of container "${shortId(id)}"`,
      problem: 'it protects layers for a container that no longer exists',
      advice: ASK_REPAIR,
      ...repaired('removed'),
    }));
    const repairable = new Set(
      [...unleased(root), ...unheld(root).map((id) => ({ id }))].map(({ id }) => nameOf(id)),
    );
    const left = readLeases(root).damaged.filter(({ name }) => !repairable.has(name));
    if (repair) reconcile(root);
    return [
      ...missing,
      ...stale,
      ...left.map(({ name, problem }) => ({ what: `lease "${name}"`, problem, advice: REMOVE_HOLDER })),
    ];
  }
}

const nameOf = (id: string): string => leaseName(holderOfContainer(id));
const REMOVE_HOLDER = 'remove the file, and what uses its layers; until then no layer is removed';
