/** tscr diff: lists the changes of a container, or of an image's top layer. */
import { Command } from 'commander';
import { type ChangedStack, UsageError } from '../../../../fs/index.js';
import { searchRecord } from '../../../../runtime/container/records/containers.js';
import { changesOf } from '../../../../runtime/container/root/changes.js';
import type { Store } from '../../../../runtime/image/store/store.js';
import { printChanges } from '../../../terminal/changes.js';
import { storeOf } from '../../storage.js';

export function diffCommand(): Command {
  return new Command('diff')
    .description(
      "list changes that a container, or an image's top layer, makes: added (A), changed (C), deleted (D)",
    )
    .argument('<name>', 'name or ID of a container or an image; containers are searched first')
    .option('--json', 'print JSON')
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
