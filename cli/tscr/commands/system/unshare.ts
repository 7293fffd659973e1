/** tscr unshare: runs a command in a new mount namespace. */
import { Command, Option } from 'commander';
import { HostError, UsageError } from '../../../../fs/index.js';
import { directoryAt } from '../../../../fs/layers.js';
import { E, Errno } from '../../../../fs/sys/errno.js';
import { callerEnvironment } from '../../../../runtime/command/call.js';
import { runForeground } from '../../../../runtime/command/foreground.js';
import {
  enterMountNamespace,
  enterRoot,
  mountTmpfs,
  PROPAGATION,
  type Propagation,
} from '../../../../runtime/namespaces/mount-namespace.js';
import { warn } from '../../../terminal/output.js';

interface Options {
  readonly mount?: true;
  readonly propagation: Propagation;
  readonly tmpfs: readonly string[];
  readonly root?: string;
}

export function unshareCommand(): Command {
  const collect = (value: string, all: readonly string[]): string[] => [...all, value];
  return new Command('unshare')
    .description('run a command in new namespaces')
    .argument('<command...>', 'the command and its arguments')
    .option('-m, --mount', 'create a new mount namespace')
    .addOption(
      new Option('--propagation <mode>', 'mount propagation, as in unshare(1)')
        .choices(Object.keys(PROPAGATION))
        .default('private'),
    )
    .option('--tmpfs <dir>', 'mount a tmpfs on a directory; may be repeated', collect, [])
    .option('--root <dir>', 'change the root directory')
    .passThroughOptions()
    .action(run);
}

async function run([command = '', ...args]: string[], options: Options): Promise<void> {
  if (options.mount !== true)
    throw new UsageError('missing option "--mount"; it is the only namespace that is supported');
  const directories = options.tmpfs.map(directoryAt);
  const root = options.root === undefined ? undefined : directoryAt(options.root);
  enter(options.propagation);
  for (const directory of directories) mountTmpfs(directory);
  if (root !== undefined) enterRoot(root);
  const { exitCode, refusal } = await runForeground({ command, args, env: callerEnvironment() }, {});
  process.exitCode = exitCode;
  if (refusal !== undefined) warn(`"${command}" ${refusal}`);
}

function enter(propagation: Propagation): void {
  try {
    enterMountNamespace(propagation);
  } catch (error) {
    if (!(error instanceof Errno) || error.code !== E.EPERM) throw error;
    throw new HostError(`uid ${process.getuid?.()} may not create a mount namespace`, 'run as root');
  }
}
