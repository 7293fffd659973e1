/** tscr commit: what a container changed becomes a new image. */
import { Command, Option } from 'commander';
import { commit } from '../../../../runtime/container/lifecycle/commit.js';
import { Pause } from '../../../../runtime/container/lifecycle/pause.js';
import { findRecord, runningProcess } from '../../../../runtime/container/records/containers.js';
import type { ContainerRecord } from '../../../../runtime/container/records/record.js';
import { formatReference, parseTag } from '../../../../runtime/image/reference.js';
import { caller } from '../../../../runtime/rootless/caller.js';
import { enterForLayers } from '../../../../runtime/rootless/enter.js';
import { carriedDescriptors } from '../../../../runtime/rootless/namespace.js';
import { collect, print } from '../../../terminal/output.js';
import { storeOf } from '../../storage.js';

interface Options {
  readonly message?: string;
  readonly author?: string;
  readonly change: readonly string[];
  readonly pause: boolean | string;
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
    .addOption(
      new Option('--pause <how>', 'hold a running container still meanwhile')
        .choices(['true', 'false'])
        .default('true'),
    )
    .option('--no-pause', 'the same as --pause=false')
    .action(run);
}

async function run(
  name: string,
  reference: string | undefined,
  { message, author, change, pause: wanted }: Options,
  command: Command,
): Promise<void> {
  const store = storeOf(command);
  const names = reference === undefined ? [] : [formatReference(parseTag(reference))];
  const record = findRecord(store.root, name);
  const pause = wanted === 'true' ? pauseOf(store.root, record) : undefined;
  try {
    enterForLayers(pause?.descriptors);
    const id = await commit(store, record, {
      names,
      changes: change,
      ...(message !== undefined && { message }),
      ...(author !== undefined && { author }),
    });
    print(id);
  } finally {
    pause?.release();
  }
}

/** Begun outside of this program's user namespace: a sibling namespace has no power over the container's. */
function pauseOf(root: string, record: ContainerRecord): Pause | undefined {
  const [orders, ended] = carriedDescriptors();
  if (orders !== undefined && ended !== undefined) return new Pause([orders, ended]);
  if (caller().namespace !== undefined) return undefined;
  const pid = runningProcess(root, record);
  return pid === undefined ? undefined : Pause.begin({ name: record.name, pid });
}
