/** tscr commit: what a container changed becomes a new image. */
import { Command } from 'commander';
import { findRecord } from '../../runtime/container/containers.js';
import { commit } from '../../runtime/image/commit.js';
import { formatReference, parseTag } from '../../runtime/image/reference.js';
import { collect, print } from '../output.js';
import { storeOf } from '../storage.js';

interface Options {
  readonly message?: string;
  readonly author?: string;
  readonly change: readonly string[];
}

export function commitCommand(): Command {
  return new Command('commit')
    .description("make an image of a container's changes")
    .argument('<container>', 'a name or an ID')
    .argument('[reference]', 'the name of the image')
    .option('-m, --message <text>', "the history's comment")
    .option('-a, --author <name>', 'e.g. "Ada <ada@example.org>"')
    .option(
      '-c, --change <instruction>',
      'change the configuration, e.g. "ENV A=1"; may be repeated',
      collect,
      [],
    )
    .action(run);
}

async function run(
  name: string,
  reference: string | undefined,
  { message, author, change }: Options,
  command: Command,
): Promise<void> {
  const store = storeOf(command);
  const names = reference === undefined ? [] : [formatReference(parseTag(reference))];
  const id = await commit(store, findRecord(store.root, name), {
    names,
    changes: change,
    ...(message !== undefined && { message }),
    ...(author !== undefined && { author }),
  });
  print(id);
}
