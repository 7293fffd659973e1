/** Warnings about unreadable parts of a store; the command continues with the rest. */
import { damagedRecords, shortId } from '../../runtime/container/records/containers.js';
import { familiar } from '../../runtime/image/reference.js';
import type { Store } from '../../runtime/image/store/store.js';
import { warn } from '../terminal/output.js';
import { shortDigest } from '../terminal/text.js';

export function warnDamagedImages(store: Store): void {
  for (const { manifestDigest, names, problem } of store.inventory().damaged) {
    const what = names.length === 0 ? shortDigest(manifestDigest) : names.map(familiar).join('", "');
    warn(`image "${what}": ${problem}`);
  }
}

export function warnDamagedContainers(store: Store): void {
  for (const { id, problem } of damagedRecords(store.root)) {
    warn(`container "${shortId(id)}": ${problem}; remove it with "tscr rm ${shortId(id)}"`);
  }
}
