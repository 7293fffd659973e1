/** unionfs diff: what upper adds (A), changes (C) and deletes (D). */
import { Command } from 'commander';
import { UsageError } from '../../fs/index.js';
import { type Change, diff } from '../../fs/union/diff.js';
import { viewOf } from '../../fs/union/view.js';
import { printJson } from '../output.js';
import { givenStack, type StackOptions, stackAt } from '../stack.js';

export function diffCommand(): Command {
  return new Command('diff')
    .description('list what was added (A), changed (C) and deleted (D)')
    .argument('[mountpoint]', 'a mountpoint; unmounted, its upper or work directory')
    .option('--lower <a:b>', 'compare these layers instead')
    .option('--upper <dir>', 'with this one')
    .option('--json', 'as JSON')
    .action(run);
}

function run(path: string | undefined, options: StackOptions & { json?: true }): void {
  const stack = givenStack(options) ?? (path === undefined ? undefined : stackAt(path));
  if (stack === undefined) throw new UsageError('name a mountpoint, or layers with --lower and --upper');
  if (stack.upper === undefined) throw new UsageError('a union without upper has no changes');
  const merged = viewOf(stack);
  const lower = viewOf({ lowers: stack.lowers });
  try {
    const changes = [...diff(merged, lower)];
    if (options.json === true) printJson(changes.map(({ kind, path }) => ({ kind, path: toText(path) })));
    else for (const change of changes) process.stdout.write(line(change));
  } finally {
    merged.close();
    lower.close();
  }
}

const toText = (path: string): string => Buffer.from(path, 'latin1').toString();

/** Names are bytes and are written as they are. */
const line = ({ kind, path }: Change): Buffer => Buffer.from(`${kind} ${path}\n`, 'latin1');
