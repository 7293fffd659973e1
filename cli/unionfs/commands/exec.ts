/**
 * unionfs exec: runs a command with a private union mount.
 *
 * Rules: the mount is in a new mount namespace, for an ordinary user also in a new user namespace; neither fusermount3 nor
 * privileges are needed, and nothing is left afterwards. The command keeps the caller's ids, gets no additional rights, and
 * its exit code is returned; its remaining processes and the union end with it. Compare unshare(1), bwrap(1).
 */
import { mkdtempSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { mount, type Ownership } from '../../../fs/index.js';
import { directoryAt } from '../../../fs/layers.js';
import { keepCapabilitiesFromChildren } from '../../../fs/sys/process.js';
import { callerEnvironment, requireTextIn } from '../../../runtime/command/call.js';
import {
  becomeReaper,
  killChildren,
  type Outcome,
  runForeground,
} from '../../../runtime/command/foreground.js';
import { Guardian } from '../../../runtime/container/process/guardian.js';
import { caller } from '../../../runtime/host/caller.js';
import { temporaryDirectory } from '../../../runtime/host/temporary.js';
import { enterForMounts } from '../../../runtime/namespaces/enter.js';
import { enterMountNamespace } from '../../../runtime/namespaces/mount-namespace.js';
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

/** The variable with the mountpoint. */
const VARIABLE = 'UNIONFS_MOUNT';

/** Variables that tmpdir() reads. */
const TEMPORARY = ['TMPDIR', 'TMP', 'TEMP'];

export function execCommand(): Command {
  return new Command('exec')
    .description('run a command with a private union mount; no privilege is needed')
    .argument('<command...>', 'the command and its arguments')
    .option('--lower <a:b>', 'lower layers, as for "unionfs mount"')
    .option('--upper <dir>', 'upper layer, which receives all changes')
    .option('--workdir <dir>', "work directory on upper's filesystem")
    .option('-o, --option <list>', 'mount options, as for "unionfs mount"', collect, [])
    .addOption(new Option('--layer-changes <how>', 'as for "unionfs mount"').hideHelp())
    .option(
      '--at <dir>',
      `mountpoint (default: a new directory, which is the working directory and the value of $${VARIABLE})`,
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
    if (refusal !== undefined) warn(`"${command}" ${refusal}`);
  } finally {
    if (made !== undefined) rmdirSync(made);
  }
}

/** Serves the union while `use` runs; the started process is killed when this process ends. */
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

/** In a user namespace with only the caller's ids, all files are shown as the caller's, and copied up as such. */
function everythingIsOurs(): Ownership | undefined {
  if (caller().namespace === undefined) return undefined;
  return { squashUid: process.getuid?.() ?? 0, squashGid: process.getgid?.() ?? 0 };
}
