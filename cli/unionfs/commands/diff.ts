/** unionfs diff: what upper adds (A), changes (C) and deletes (D). */
import { Command } from 'commander';
import { UsageError } from '../../../fs/index.js';
import { printChanges } from '../../terminal/changes.js';
import { givenStack, type StackOptions, stackAt } from '../stack.js';

export function diffCommand(): Command {
  return new Command('diff')
    .description('list what was added (A), changed (C) and deleted (D)')
    .argument('[mountpoint]', 'a mountpoint; unmounted, its upper or work directory')
    .option('--lower <a:b>', 'compare these layers instead')
    .option('--upper <dir>', 'with this one')
    .option('--workdir <dir>', "and its work directory, which keeps lower files' hard links together")
    .option('--json', 'as JSON')
    .action(run);
}

async function run(path: string | undefined, options: StackOptions & { json?: true }): Promise<void> {
  const stack = givenStack(options) ?? (path === undefined ? undefined : await stackAt(path));
  if (stack === undefined) throw new UsageError('name a mountpoint, or layers with --lower and --upper');
  const { upper } = stack;
  if (upper === undefined) throw new UsageError('a union without upper has no changes');
  printChanges({ ...stack, upper }, options.json === true);
}
