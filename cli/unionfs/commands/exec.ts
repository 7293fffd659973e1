/**
 * unionfs exec: a command that sees a union which nobody else sees.
 *
 * Rules: the mount lies in a mount namespace of its own, for an ordinary user in a user namespace too; neither
 * fusermount3 nor any privilege is needed, and nothing is left afterwards. The command keeps the caller's ids, gets
 * nothing that the caller has not, and gives its exit code; processes that it leaves behind end with it, as the union
 * does. Compare unshare(1), bwrap(1).
 */
import { mkdtempSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { mount, type Ownership } from '../../../fs/index.js';
import { directoryAt } from '../../../fs/layers.js';
import { keepCapabilitiesFromChildren } from '../../../fs/sys/process.js';
import { Guardian } from '../../../runtime/container/process/guardian.js';
import { enterMountNamespace } from '../../../runtime/container/process/namespaces.js';
import { callerEnvironment, requireTextIn } from '../../../runtime/host/call.js';
import { becomeReaper, killChildren, type Outcome, runForeground } from '../../../runtime/host/foreground.js';
import { temporaryDirectory } from '../../../runtime/host/temporary.js';
import { caller } from '../../../runtime/rootless/caller.js';
import { enterForMounts } from '../../../runtime/rootless/enter.js';
import { collect, warn } from '../../terminal/output.js';
import { mountOptions } from './mount.js';

interface Options {
  readonly lower?: string;
  readonly upper?: string;
  readonly workdir?: string;
  readonly option: readonly string[];
  readonly layerChanges?: string;
  readonly at?: string;
}

/** Tells the command where the union is. */
const VARIABLE = 'UNIONFS_MOUNT';

/** What tmpdir() reads. */
const TEMPORARY = ['TMPDIR', 'TMP', 'TEMP'];

export function execCommand(): Command {
  return new Command('exec')
    .description('run a command that sees a union which nobody else sees; no privilege is needed')
    .argument('<command...>', 'the command and its arguments')
    .option('--lower <a:b>', 'lower layers, as with mount')
    .option('--upper <dir>', 'the layer that takes all changes')
    .option('--workdir <dir>', "scratch space on upper's filesystem")
    .option('-o, --option <list>', 'mount options, as with mount', collect, [])
    .addOption(new Option('--layer-changes <how>', 'as with mount').hideHelp())
    .option(
      '--at <dir>',
      `mount over this directory (default: a new one, the command's working directory, named in ${VARIABLE})`,
    )
    .passThroughOptions()
    .action(run);
}

async function run([command = '', ...args]: string[], options: Options): Promise<void> {
  if (options.at === undefined) requireTextIn(TEMPORARY);
  else directoryAt(options.at);
  enterForMounts();
  enterMountNamespace('slave');
  const made =
    options.at === undefined ? mkdtempSync(join(directoryAt(temporaryDirectory()), 'unionfs-')) : undefined;
  const mountpoint = made ?? directoryAt(options.at ?? '');
  try {
    const { exitCode, refusal } = await inUnion(mountpoint, options, (onStarted) =>
      runForeground(
        { command, args, env: { ...callerEnvironment(), [VARIABLE]: mountpoint } },
        made === undefined ? {} : { cwd: made },
        onStarted,
      ),
    );
    process.exitCode = exitCode;
    if (refusal !== undefined) warn(`exec: "${command}" ${refusal}`);
  } finally {
    if (made !== undefined) rmdirSync(made);
  }
}

/** Serves the union while `use` runs what it starts, which dies with this process. */
async function inUnion(
  mountpoint: string,
  options: Options,
  use: (onStarted: (pid: number) => void) => Promise<Outcome>,
): Promise<Outcome> {
  const settings = mountOptions(mountpoint, options);
  const ownership = settings.ownership ?? everythingIsOurs();
  const union = await mount({ ...settings, ...(ownership !== undefined && { ownership }) });
  let guardian: Guardian | undefined;
  try {
    keepCapabilitiesFromChildren();
    becomeReaper();
    return await use((pid) => {
      guardian = new Guardian(pid);
    });
  } finally {
    await guardian?.dismiss();
    killChildren();
    await union.end();
  }
}

/** Where only the caller's ids exist, nothing can be anybody else's; what is copied up becomes the caller's. */
function everythingIsOurs(): Ownership | undefined {
  if (caller().namespace === undefined) return undefined;
  return { squashUid: process.getuid?.() ?? 0, squashGid: process.getgid?.() ?? 0 };
}
