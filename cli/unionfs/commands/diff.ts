/** unionfs diff: lists the changes in upper. */
import { Command } from 'commander';
import { UsageError } from '../../../fs/index.js';
import { printChanges } from '../../terminal/changes.js';
import { givenStack, type StackOptions, stackAt } from '../stack.js';

export function diffCommand(): Command {
  return new Command('diff')
    .description('list what the upper layer adds (A), changes (C) and deletes (D)')
    .argument('[mountpoint]', 'mountpoint; if it is not mounted, the upper or work directory')
    .option('--lower <a:b>', 'lower layers, instead of those of a mount')
    .option('--upper <dir>', 'upper layer, with --lower')
    .option('--workdir <dir>', 'work directory, with --upper; its index identifies hard links of lower files')
    .option('--json', 'print JSON')
    .action(run);
}

async function run(path: string | undefined, options: StackOptions & { json?: true }): Promise<void> {
  const stack = givenStack(options) ?? (path === undefined ? undefined : await stackAt(path));
  if (stack === undefined)
    throw new UsageError('missing mountpoint; name one, or layers with --lower and --upper');
  const { upper } = stack;
  if (upper === undefined) throw new UsageError('the union has no upper layer, so it has no changes');
  printChanges({ ...stack, upper }, options.json === true);
}
