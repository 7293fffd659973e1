/** tscr run: a process in a container of an image, of a directory, or of a bundle. */
import { Command, Option } from 'commander';
import { UsageError } from '../../../../fs/index.js';
import { type RunOptions, runDirectory, runImage } from '../../../../runtime/container/lifecycle/run.js';
import { runBundleDirectory } from '../../../../runtime/container/process/bundle.js';
import { DRIVERS, type Driver } from '../../../../runtime/container/records/record.js';
import type { Store } from '../../../../runtime/image/store/store.js';
import { enterForContainers } from '../../../../runtime/rootless/enter.js';
import { USER_NAMESPACES, type UserNamespace } from '../../../../runtime/rootless/mode.js';
import { collect, warn } from '../../../terminal/output.js';
import { storeOf } from '../../storage.js';

interface Options {
  readonly interactive?: true;
  readonly rm?: true;
  readonly name?: string;
  readonly env: readonly string[];
  readonly envFile: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  readonly groupAdd: readonly string[];
  readonly hostname?: string;
  readonly entrypoint?: string;
  readonly volume: readonly string[];
  readonly mount: readonly string[];
  readonly tmpfs: readonly string[];
  readonly readOnly?: true;
  readonly rootfs?: string;
  readonly bundle?: string;
  /** `--no-pivot` clears it. */
  readonly pivot: boolean;
  readonly storageDriver?: Driver;
  readonly userns: UserNamespace;
  readonly passwd: 'true' | 'false';
  readonly network: 'host' | 'none';
  readonly pull: 'missing' | 'never';
}

export function runCommand(): Command {
  return new Command('run')
    .description('run a command in a new container')
    .argument('[image]', 'the image; with --rootfs or --bundle, the first word of the command')
    .argument('[command...]', "the command, instead of the image's")
    .option('-i, --interactive', 'give the command our standard input')
    .option('--rm', 'remove the container when it ends')
    .option('--name <name>', 'the name of the container')
    .option('-e, --env <name[=value]>', 'set a variable', collect, [])
    .option('--env-file <file>', 'read variables from a file', collect, [])
    .option('-w, --workdir <dir>', 'the working directory')
    .option('-u, --user <user[:group]>', 'names or ids')
    .option('--group-add <group>', 'one more group', collect, [])
    .option('--hostname <name>', 'the name of the host in the container')
    .option('--entrypoint <command>', "instead of the image's; empty for none")
    .option('-v, --volume <src:dst[:opts]>', 'show a directory or file of the host', collect, [])
    .option('--mount <type=bind,...>', 'the same in words; or type=tmpfs', collect, [])
    .option('--tmpfs <dst[:opts]>', 'an empty directory in memory', collect, [])
    .option('--read-only', "make the container's root read-only")
    .option('--rootfs <dir>', 'run in a directory as it is, without an image')
    .option('--bundle <dir>', 'run an OCI bundle as its config.json says')
    .option('--no-pivot', 'change the root with chroot(2), where pivot_root(2) is refused')
    .addOption(
      new Option(
        '--storage-driver <driver>',
        'what makes the root (default: unionfs, copy without FUSE)',
      ).choices(DRIVERS),
    )
    .addOption(
      new Option(
        '--userns <how>',
        'who root inside is: chosen by itself, your id alone, nobody but you, or root',
      )
        .choices(USER_NAMESPACES)
        .default('auto'),
    )
    .addOption(
      new Option('--passwd <yes>', 'with keep-id, add you to /etc/passwd and /etc/group')
        .choices(['true', 'false'])
        .default('true'),
    )
    .addOption(
      new Option('--network <net>', "the host's network, with its abstract sockets in reach, or none")
        .choices(['host', 'none'])
        .default('host'),
    )
    .addOption(
      new Option('--pull <when>', 'get a missing image').choices(['missing', 'never']).default('missing'),
    )
    .passThroughOptions()
    .action(run);
}

async function run(
  image: string | undefined,
  command: readonly string[],
  options: Options,
  self: Command,
): Promise<void> {
  process.exitCode = await exitCodeOf(image, command, options, storeOf(self));
}

function exitCodeOf(
  image: string | undefined,
  command: readonly string[],
  options: Options,
  store: Store,
): Promise<number> {
  const { rootfs, bundle } = options;
  if (bundle !== undefined) {
    if (image !== undefined) throw new UsageError(`"${image}" is too much: a bundle names its own command`);
    enterForContainers(options.userns, onWarning);
    const stdin = options.interactive ? 'inherit' : 'ignore';
    return runBundleDirectory(bundle, { stdin, noPivot: !options.pivot, onWarning });
  }
  if (rootfs !== undefined) {
    const words = image === undefined ? command : [image, ...command];
    return runDirectory(rootfs, runOptions(words, options));
  }
  if (image === undefined) throw new UsageError('name an image, or a directory with --rootfs or --bundle');
  return runImage(store, image, runOptions(command, options));
}

const onWarning = (message: string): void => warn(`run: ${message}`);

function runOptions(command: readonly string[], options: Options): RunOptions {
  const { name, workdir, user, hostname, entrypoint } = options;
  return {
    command,
    ...(name !== undefined && { name: checkedName(name) }),
    ...(workdir !== undefined && { workdir: absolute(workdir) }),
    ...(user !== undefined && { user }),
    ...(hostname !== undefined && { hostname: checkedHostname(hostname) }),
    ...(entrypoint !== undefined && { entrypoint }),
    env: options.env,
    envFiles: options.envFile,
    groups: options.groupAdd,
    network: options.network,
    readOnly: options.readOnly ?? false,
    autoRemove: options.rm ?? false,
    interactive: options.interactive ?? false,
    noPivot: !options.pivot,
    ...(options.storageDriver !== undefined && { driver: options.storageDriver }),
    userns: options.userns,
    passwd: options.passwd === 'true',
    onWarning,
    volumes: options.volume,
    mounts: options.mount,
    tmpfs: options.tmpfs,
  };
}

function checkedName(name: string): string {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name)) {
    throw new UsageError(`name "${name}" is none: letters and digits first, then also "_", "." and "-"`);
  }
  return name;
}

const HOST_NAME_MAX = 64;

function checkedHostname(name: string): string {
  if (name.length > HOST_NAME_MAX || !/^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?$/.test(name)) {
    throw new UsageError(`hostname "${name}" is none (hostname(7))`);
  }
  return name;
}

function absolute(path: string): string {
  if (!path.startsWith('/')) throw new UsageError(`workdir "${path}" is not absolute`);
  return path;
}
