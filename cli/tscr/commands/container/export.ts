/** tscr export: writes a container's root filesystem as a tar. */
import { Command } from 'commander';
import { exportContainer } from '../../../../runtime/container/lifecycle/export.js';
import { findRecord } from '../../../../runtime/container/records/containers.js';
import { writeOutput } from '../../../terminal/output-file.js';
import { storeOf } from '../../storage.js';

export function exportCommand(): Command {
  return new Command('export')
    .description("export a container's filesystem as a tar archive")
    .argument('<container>', 'name or ID')
    .option('-o, --output <file>', 'write to a file, instead of standard output')
    .action(run);
}

async function run(name: string, { output }: { output?: string }, command: Command): Promise<void> {
  const store = storeOf(command);
  const record = findRecord(store.root, name);
  await exportContainer(store, record, (tar) => writeOutput(output, tar));
}
