/** What a command says of the parts of a store that cannot be read, before it goes on with the rest. */
import { damagedRecords, shortId } from '../../runtime/container/records/containers.js';
import { familiar } from '../../runtime/image/reference.js';
import type { Store } from '../../runtime/image/store/store.js';
import { warn } from '../terminal/output.js';
import { shortDigest } from '../terminal/text.js';

/** @param command for the beginning of each line */
export function tellDamagedImages(command: string, store: Store): void {
  for (const { manifestDigest, names, problem } of store.inventory().damaged) {
    const what = names.length === 0 ? shortDigest(manifestDigest) : names.map(familiar).join('", "');
    warn(`${command}: image "${what}": ${problem}`);
  }
}

export function tellDamagedContainers(command: string, store: Store): void {
  for (const { id, problem } of damagedRecords(store.root)) {
    warn(`${command}: container "${shortId(id)}": ${problem}; "tscr rm ${shortId(id)}" removes it`);
  }
}
