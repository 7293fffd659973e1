/** tscr run: runs a container of an image, of a directory, or of a bundle. */
import { Command, Option } from 'commander';
import { UsageError } from '../../../../fs/index.js';
import { type RunOptions, runDirectory, runImage } from '../../../../runtime/container/lifecycle/run.js';
import { runBundleDirectory } from '../../../../runtime/container/process/bundle.js';
import type { Driver } from '../../../../runtime/container/records/record.js';
import type { Store } from '../../../../runtime/image/store/store.js';
import { enterForContainers } from '../../../../runtime/namespaces/enter.js';
import type { UserNamespace } from '../../../../runtime/rootless/mode.js';
import { ChoiceOption } from '../../../terminal/choice-option.js';
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
  /** False with `--no-pivot`. */
  readonly pivot: boolean;
  readonly storageDriver?: Driver;
  readonly userns: UserNamespace;
  readonly passwd: 'true' | 'false';
  readonly network: 'host' | 'none';
  readonly pull: 'missing' | 'never';
}

const DRIVER_HELP: Readonly<Record<Driver, string>> = {
  unionfs: 'a union of the layers, served by this program (default if /dev/fuse is usable)',
  overlay: "the kernel's overlayfs (default without /dev/fuse, where it can be mounted)",
  copy: 'a full copy of the layers for each container (default otherwise)',
};

const USER_NAMESPACE_HELP: Readonly<Record<UserNamespace, string>> = {
  auto: 'for root as "host"; for others with all subordinate ids of /etc/subuid and /etc/subgid, else as "single"',
  single: 'root inside is your id; no other id exists',
  'keep-id': 'your uid and gid are the same inside and outside',
  host: 'no user namespace; for root only',
};

const NETWORK_HELP: Readonly<Record<Options['network'], string>> = {
  host: "the host's network namespace; its abstract UNIX sockets can be reached",
  none: 'a network namespace with a loopback interface only',
};

const PULL_HELP: Readonly<Record<Options['pull'], string>> = {
  missing: 'fail with advice if the image is missing; registries are not implemented',
  never: 'fail if the image is missing',
};

export function runCommand(): Command {
  return new Command('run')
    .description('create and run a new container from an image')
    .argument('[image]', 'name or ID of the image; with --rootfs, the command')
    .argument('[command...]', 'the command and its arguments, instead of those of the image')
    .option('-i, --interactive', 'connect standard input to the command')
    .option('--rm', 'automatically remove the container when it exits')
    .option('--name <name>', 'assign a name to the container')
    .option('-e, --env <name[=value]>', 'set an environment variable; may be repeated', collect, [])
    .option('--env-file <file>', 'read environment variables from a file; may be repeated', collect, [])
    .option('-w, --workdir <dir>', 'working directory inside the container')
    .option('-u, --user <user[:group]>', 'user and group of the command, names or ids')
    .option('--group-add <group>', 'add a supplementary group; may be repeated', collect, [])
    .option('--hostname <name>', 'host name inside the container')
    .option('--entrypoint <command>', "overwrite the image's ENTRYPOINT; an empty value removes it")
    .option(
      '-v, --volume <src:dst[:opts]>',
      'bind mount a directory or file of the host; may be repeated',
      collect,
      [],
    )
    .option(
      '--mount <type=bind,...>',
      'attach a mount: type=bind,src=A,dst=B[,readonly] or type=tmpfs,dst=B',
      collect,
      [],
    )
    .option('--tmpfs <dst[:opts]>', 'mount a tmpfs on a directory; may be repeated', collect, [])
    .option('--read-only', "mount the container's root filesystem as read only")
    .option('--rootfs <dir>', 'use a directory as the root filesystem, without an image or layers')
    .option('--bundle <dir>', 'run an OCI bundle according to its config.json')
    .option('--no-pivot', 'use chroot(2) where pivot_root(2) is not permitted')
    .addOption(new ChoiceOption('--storage-driver <driver>', 'how the root filesystem is made', DRIVER_HELP))
    .addOption(new ChoiceOption('--userns <mode>', 'user namespace to use', USER_NAMESPACE_HELP, 'auto'))
    .addOption(
      new Option('--passwd <bool>', 'with --userns keep-id, add your user to /etc/passwd and /etc/group')
        .choices(['true', 'false'])
        .default('true'),
    )
    .addOption(
      new ChoiceOption('--network <mode>', 'connect the container to a network', NETWORK_HELP, 'host'),
    )
    .addOption(new ChoiceOption('--pull <policy>', 'pull the image before running', PULL_HELP, 'missing'))
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
    if (image !== undefined)
      throw new UsageError(`unexpected argument "${image}"; the command of a bundle is in its config.json`);
    enterForContainers(options.userns, warn);
    const stdin = options.interactive ? 'inherit' : 'ignore';
    return runBundleDirectory(bundle, { stdin, noPivot: !options.pivot, onWarning: warn });
  }
  if (rootfs !== undefined) {
    const words = image === undefined ? command : [image, ...command];
    return runDirectory(rootfs, runOptions(words, options));
  }
  if (image === undefined)
    throw new UsageError('missing image; name one, or a directory with --rootfs or --bundle');
  return runImage(store, image, runOptions(command, options));
}

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
    onWarning: warn,
    volumes: options.volume,
    mounts: options.mount,
    tmpfs: options.tmpfs,
  };
}

function checkedName(name: string): string {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name)) {
    throw new UsageError(
      `invalid name "${name}": use letters, digits, "_", "." and "-", and begin with a letter or digit`,
    );
  }
  return name;
}

const HOST_NAME_MAX = 64;

function checkedHostname(name: string): string {
  if (name.length > HOST_NAME_MAX || !/^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?$/.test(name)) {
    throw new UsageError(
      `invalid hostname "${name}": use up to ${HOST_NAME_MAX} letters, digits, "." and "-" (hostname(7))`,
    );
  }
  return name;
}

function absolute(path: string): string {
  if (!path.startsWith('/'))
    throw new UsageError(`invalid working directory "${path}": use an absolute path`);
  return path;
}
