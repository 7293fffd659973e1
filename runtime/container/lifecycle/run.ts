/**
 * `tscr run`: creates a container of an image, runs its command, and returns the exit code.
 *
 *     image layers + init layer + upper        containers.ts, init-layer.ts
 *       -> one root, mounted in a namespace    root-filesystem.ts, namespaces.ts
 *       -> config.json                         container-spec.ts
 *       -> process, exit code                  bundle.ts
 *       -> the exit is recorded                containers.ts
 *
 * Rules: the calling process is the container's supervisor. It mounts in a mount namespace of its own, so that no mount
 * is left on the host, however it ends. Everything is checked before the container is created.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { hostname as osHostname } from 'node:os';
import { join } from 'node:path';
import { UsageError } from '../../../fs/index.js';
import { quoted } from '../../../fs/input/shown.js';
import { directoryAt } from '../../../fs/layers.js';
import { callerEnvironment } from '../../command/call.js';
import { thisNode } from '../../host/node.js';
import type { ExecutionConfig, StoredImage } from '../../image/oci.js';
import { otherPlatform } from '../../image/platform.js';
import { requireWritable } from '../../image/store/place.js';
import type { Store } from '../../image/store/store.js';
import { enterForContainers } from '../../namespaces/enter.js';
import { enterMountNamespace } from '../../namespaces/mount-namespace.js';
import type { UserNamespace } from '../../rootless/mode.js';
import { virtualOwners } from '../owners/service.js';
import { type InitProcess, runBundle, startInit } from '../process/bundle.js';
import { ContainerLock } from '../records/container-lock.js';
import {
  clearLeftovers,
  createContainer,
  directoryOf,
  endContainer,
  shortId,
} from '../records/containers.js';
import type { ContainerRecord, Driver } from '../records/record.js';
import { makeVolumes } from '../root/image-volumes.js';
import { makeInitLayer, makeOwnFiles } from '../root/init-layer.js';
import { chooseDriver, type OpenRoot, startDriver } from '../root/root-filesystem.js';
import { commandOf, imageWorkdir } from '../spec/command.js';
import { containerSpec, type ProcessRequest } from '../spec/container-spec.js';
import { environmentOf } from '../spec/environment.js';
import { withOwnUser } from '../spec/own-user.js';
import { defaultUser, forOwnNamespace, mappedUser, ownUser, withOwnHome } from '../spec/rootless-spec.js';
import { readUserFiles, resolveUser, type UserFiles } from '../spec/users.js';
import { type Mount, type MountRequest, mountsOf } from '../spec/volumes.js';

/** The options of the command line; undefined where the image's configuration applies. */
export interface RunOptions extends MountRequest {
  readonly name?: string;
  readonly command: readonly string[];
  readonly entrypoint?: string;
  readonly env: readonly string[];
  readonly envFiles: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  readonly groups: readonly string[];
  readonly hostname?: string;
  readonly network: 'host' | 'none';
  readonly readOnly: boolean;
  readonly autoRemove: boolean;
  readonly interactive: boolean;
  readonly noPivot: boolean;
  /** The storage driver; by default the best one for this host. */
  readonly driver?: Driver;
  readonly userns: UserNamespace;
  /** With `--userns keep-id`, add the caller to /etc/passwd if it has no entry. */
  readonly passwd: boolean;
  /** Called with warnings: what differs from the request, and why a command could not be executed. */
  readonly onWarning: (message: string) => void;
}

const PRIVATE = 0o700;
const ID_BYTES = 32;
/** docker's exit code for errors of the runtime */
const RUNTIME_ERROR = 125;

/**
 * Runs a container of an image until it exits. @returns docker's exit code
 * @throws UsageError for errors that the user can fix; the container has then been removed, or has exit code 125
 */
export async function runImage(store: Store, reference: string, options: RunOptions): Promise<number> {
  enterForContainers(options.userns, options.onWarning);
  const mounts = mountsOf(options);
  if (existsSync(store.root)) requireWritable(store.root);
  clearLeftovers(store.root);
  enterMountNamespace('slave');
  const driver = chooseDriver(options.driver, store.root, options.onWarning);
  const id = randomBytes(ID_BYTES).toString('hex');
  const lock = ContainerLock.take(store.root, id);
  if (lock === undefined) throw new Error('a new container ID is already locked');
  const openRoot = startDriver(driver); // its thread and the init stage load in parallel
  const init = startInit(stdinOf(options));
  let isRecorded = true;
  try {
    const { image, record } = await store.hold(() => {
      const found = store.find(reference);
      const made = recordOf(store, found, reference, id, { ...options, driver });
      createContainer(store.root, made);
      return { image: found, record: made };
    });
    const difference = otherPlatform(image.config);
    if (difference !== undefined) options.onWarning(`image ${quoted(reference)} ${difference}`);
    let exitCode = RUNTIME_ERROR;
    try {
      exitCode = await supervise(store.root, { image, record, options, mounts, lock, init, openRoot });
    } finally {
      isRecorded = recordEnd(store.root, record, exitCode, options.onWarning);
      if (!isRecorded) lock.leave(exitCode);
    }
    return exitCode;
  } finally {
    init.kill('SIGKILL');
    if (isRecorded) lock.release();
  }
}

/** Records the exit. @returns false if that failed; the exit code is not changed by that */
function recordEnd(
  root: string,
  record: ContainerRecord,
  exitCode: number,
  warn: (message: string) => void,
): boolean {
  try {
    endContainer(root, record, exitCode);
    return true;
  } catch (error) {
    warn(`cannot record the exit of container "${record.name}": ${(error as Error).message}`);
    return false;
  }
}

const stdinOf = ({ interactive }: RunOptions) => (interactive ? 'inherit' : 'ignore');

function recordOf(
  store: Store,
  image: StoredImage,
  reference: string,
  id: string,
  options: RunOptions & { readonly driver: Driver },
): ContainerRecord {
  const at = (name: string): string => join(directoryOf(store.root, id), name);
  return {
    id,
    name: options.name ?? `${nameOf(reference)}-${shortId(id)}`,
    image: { id: image.id, reference },
    created: new Date().toISOString(),
    command: commandOf(image.config.config ?? {}, reference, options),
    config: { ...image.config.config },
    driver: options.driver,
    autoRemove: options.autoRemove,
    node: thisNode(),
    lowers: [...image.layers].reverse(),
    init: at('init'),
    upper: at('diff'),
    work: at('work'),
    merged: at('merged'),
  };
}

/** The last part of a reference, for a container without a given name. */
const nameOf = (reference: string): string =>
  /([a-z0-9._-]+)(?:[:@][^/]*)?$/.exec(reference)?.[1] ?? 'container';

/** A container that is about to start. */
interface Supervised {
  readonly image: StoredImage;
  readonly record: ContainerRecord;
  readonly options: RunOptions;
  readonly mounts: readonly Mount[];
  readonly lock: ContainerLock;
  readonly init: InitProcess;
  readonly openRoot: OpenRoot;
}

/** Creates the container's files and its root, and runs it until it exits. */
async function supervise(root: string, supervised: Supervised): Promise<number> {
  const { image, record, options, mounts, lock, init, openRoot } = supervised;
  const { readOnly, network, noPivot, onWarning } = options;
  const { upper, work, merged, init: initLayer } = record;
  for (const path of [upper, work, merged, initLayer]) mkdirSync(path, { mode: PRIVATE });
  const config = image.config.config ?? {};
  const users = namesCaller(options)
    ? (files: UserFiles) => withOwnUser(files, ownUser(mounts, workdirOf(config, options)))
    : undefined;
  makeInitLayer(initLayer, upper, record.lowers, users);
  const hostname = options.hostname ?? shortId(record.id);
  const own = makeOwnFiles(directoryOf(root, record.id), hostname, network);
  const owners = virtualOwners(record.driver);
  const rootfs = await openRoot({ ...record, owners });
  try {
    makeVolumes(rootfs.path, config, onWarning);
    const command = processOf(rootfs.path, config, record.command, hostname, options, mounts);
    const all = [...own, ...mounts];
    const spec = forOwnNamespace(
      containerSpec({
        process: command,
        hostname,
        mounts: all,
        readOnly,
        network,
        rootPath: rootfs.path,
      }),
    );
    const onStarted = (pid: number): void => lock.started(pid);
    const request = {
      spec,
      root: rootfs.path,
      stdin: stdinOf(options),
      noPivot,
      onStarted,
      onWarning,
      ...(owners && { owners }),
    } as const;
    return await runBundle(request, init);
  } finally {
    await rootfs
      .release()
      .catch((error: Error) => onWarning(`cannot unmount the root filesystem: ${error.message}`));
  }
}

/** Whether the caller is added to /etc/passwd. */
const namesCaller = ({ userns, passwd }: RunOptions): boolean => userns === 'keep-id' && passwd;

function workdirOf(config: ExecutionConfig, options: RunOptions): string {
  return options.workdir ?? imageWorkdir(config);
}

/** The process: arguments, user, directory and environment. */
function processOf(
  root: string,
  config: ExecutionConfig,
  args: readonly string[],
  hostname: string,
  options: RunOptions,
  mounts: readonly Mount[],
): ProcessRequest {
  const user = mappedUser(
    resolveUser(
      options.user ?? defaultUser(config.User, options.userns),
      readUserFiles(root),
      options.groups,
    ),
  );
  const env = environmentOf({
    image: config.Env ?? [],
    files: options.envFiles,
    changes: options.env,
    hostname,
    caller: callerEnvironment(),
  });
  return { args, env, user: withOwnHome(user, mounts), cwd: workdirOf(config, options) };
}

/** Runs a command with a directory as its root: no image, no layers; changes are written to the directory. */
export async function runDirectory(path: string, options: RunOptions): Promise<number> {
  enterForContainers(options.userns, options.onWarning);
  const root = directoryAt(path);
  const mounts = mountsOf(options);
  const { entrypoint, command, hostname = osHostname(), readOnly, network } = options;
  const args = [...(entrypoint === undefined || entrypoint === '' ? [] : [entrypoint]), ...command];
  if (args.length === 0) throw new UsageError('missing command; name one, it is run in the directory');
  enterMountNamespace('slave');
  const own = processOf(root, {}, args, hostname, options, mounts);
  const spec = forOwnNamespace(
    containerSpec({ process: own, hostname, mounts, readOnly, network, rootPath: root }),
  );
  const { noPivot, onWarning } = options;
  return runBundle({ spec, root, stdin: stdinOf(options), noPivot, onWarning });
}
