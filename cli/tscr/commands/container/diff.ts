/** tscr diff: what a container, or an image's top layer, adds (A), changes (C) and deletes (D). */
import { Command } from 'commander';
import { type ChangedStack, UsageError } from '../../../../fs/index.js';
import { changesOf } from '../../../../runtime/container/lifecycle/changes.js';
import { searchRecord } from '../../../../runtime/container/records/containers.js';
import type { Store } from '../../../../runtime/image/store/store.js';
import { printChanges } from '../../../terminal/changes.js';
import { storeOf } from '../../storage.js';

export function diffCommand(): Command {
  return new Command('diff')
    .description("list what a container, or an image's top layer, adds (A), changes (C) and deletes (D)")
    .argument('<name>', 'a container or an image; a container comes first')
    .option('--json', 'as JSON')
    .action(run);
}

function run(name: string, { json }: { json?: true }, command: Command): void {
  printChanges(stackOf(storeOf(command), name), json === true);
}

function stackOf(store: Store, name: string): ChangedStack {
  const record = searchRecord(store.root, name);
  if (record !== undefined) return changesOf(record);
  const [upper, ...lowers] = [...store.find(name).layers].reverse();
  if (upper === undefined) throw new UsageError(`image "${name}" has no layers`);
  return { upper, lowers };
}
