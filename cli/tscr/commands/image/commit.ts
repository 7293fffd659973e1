/** tscr commit: creates an image of a container's changes. */
import { Command, Option } from 'commander';
import { commit } from '../../../../runtime/container/lifecycle/commit.js';
import { Pause } from '../../../../runtime/container/lifecycle/pause.js';
import { findRecord, runningProcess } from '../../../../runtime/container/records/containers.js';
import type { ContainerRecord } from '../../../../runtime/container/records/record.js';
import { caller } from '../../../../runtime/host/caller.js';
import { formatReference, parseTag } from '../../../../runtime/image/reference.js';
import { enterForLayers } from '../../../../runtime/namespaces/enter.js';
import { carriedDescriptors } from '../../../../runtime/namespaces/user-namespace.js';
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
    .description("create a new image from a container's changes")
    .argument('<container>', 'name or ID')
    .argument('[reference]', 'name and tag of the new image')
    .option('-m, --message <text>', 'commit message, shown by "tscr history"')
    .option('-a, --author <name>', 'author, e.g. "Ada <ada@example.org>"')
    .option(
      '-c, --change <instruction>',
      'apply a Dockerfile instruction to the new image, e.g. "ENV A=1"; may be repeated',
      collect,
      [],
    )
    .addOption(
      new Option('--pause <bool>', 'pause a running container during the commit')
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

/** Begins the pause before entering a user namespace, because a sibling namespace cannot signal the container. */
function pauseOf(root: string, record: ContainerRecord): Pause | undefined {
  const [orders, ended] = carriedDescriptors();
  if (orders !== undefined && ended !== undefined) return new Pause([orders, ended]);
  if (caller().namespace !== undefined) return undefined;
  const pid = runningProcess(root, record);
  return pid === undefined ? undefined : Pause.begin({ name: record.name, pid });
}
