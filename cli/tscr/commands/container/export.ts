/** tscr export: a container's whole root as a tar. */
import { Command } from 'commander';
import { exportContainer } from '../../../../runtime/container/lifecycle/export.js';
import { findRecord } from '../../../../runtime/container/records/containers.js';
import { writeOutput } from '../../../terminal/output-file.js';
import { storeOf } from '../../storage.js';

export function exportCommand(): Command {
  return new Command('export')
    .description("write a container's root file system as a tar")
    .argument('<container>', 'a name or an ID')
    .option('-o, --output <file>', 'the tar; standard output by default')
    .action(run);
}

async function run(name: string, { output }: { output?: string }, command: Command): Promise<void> {
  const store = storeOf(command);
  const record = findRecord(store.root, name);
  await exportContainer(store, record, (tar) => writeOutput(output, tar));
}
