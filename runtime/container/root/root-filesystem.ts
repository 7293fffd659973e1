/**
 * The container's root filesystem: the layers as one directory. All three drivers give the same result:
 *
 * - `unionfs`: the union, served by this process.
 * - `overlay`: the kernel's overlayfs.
 * - `copy`: a plain copy, if nothing can be mounted: slow to create, and takes space for every container.
 *
 * Rules: mounts are made in the caller's own mount namespace (`mount-namespace.ts`), so that they end with it for any
 * reason. The image's layers never change, so they are not watched.
 */
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import {
  flatten,
  HostError,
  mount as mountUnion,
  type Ownership,
  startServingThread,
  UsageError,
  viewOf,
} from '../../../fs/index.js';
import { isInitialUserNamespace, keepInCopy, keepsMarks } from '../../../fs/layers.js';
import { AT, O } from '../../../fs/sys/constants.js';
import { E, Errno, errnoName } from '../../../fs/sys/errno.js';
import { toBytes } from '../../../fs/sys/path-bytes.js';
import { close, isNoexec, mount, openat, umount2 } from '../../../fs/sys/syscalls.js';
import { whyCopy } from '../../doctor/refusals.js';
import { caller } from '../../host/caller.js';
import { realHost } from '../../host/real-host.js';
import { removePath } from '../../image/store/workspace.js';
import { fuseRefusal } from '../../rootless/facts.js';
import { chooseStorage } from '../../rootless/mode.js';
import type { VirtualOwners } from '../owners/service.js';
import type { ContainerRecord, Driver } from '../records/record.js';
import { idTranslation } from '../spec/id-translation.js';
import { markCopied } from './changes.js';

/** Parameters of a driver. */
export type RootRequest = Pick<
  ContainerRecord,
  'id' | 'lowers' | 'init' | 'upper' | 'work' | 'merged' | 'autoRemove'
> & {
  /** Virtual owners; the files themselves belong to the only mapped user. */
  readonly owners?: VirtualOwners | undefined;
};

export interface RootFilesystem {
  /** The path of the root. */
  readonly path: string;
  /** Unmounts; processes that still use the mount get errors. */
  release(): Promise<void>;
}

/** Mounts or copies a container's root. Throws `UsageError` if the driver cannot do that. */
export type OpenRoot = (request: RootRequest) => Promise<RootFilesystem>;

/** Each starts slow work that does not depend on the container. */
const DRIVE: Record<Driver, () => OpenRoot> = {
  unionfs: () => {
    const thread = startServingThread();
    return (request) => openUnion(request, thread);
  },
  overlay: () => async (request) => openOverlay(withoutTranslation('overlay', request)),
  copy: () => async (request) => openCopy(withoutTranslation('copy', request)),
};

/** Only the union can translate ids. */
function withoutTranslation(driver: Driver, request: RootRequest): RootRequest {
  if (idTranslation() === undefined) return request;
  throw new UsageError(
    `conflicting options: --userns "keep-id" is not possible with the storage driver "${driver}"`,
  );
}

/**
 * The requested driver, or the best one for this host, with a warning if that is a copy. Call it in the mount namespace of
 * the root, because it tries to mount overlayfs.
 * @param store the store's root directory
 */
export function chooseDriver(
  wanted: Driver | undefined,
  store: string,
  warn: (message: string) => void,
): Driver {
  if (wanted !== undefined) return wanted;
  const host = { ...realHost(), uid: caller().uid };
  const { driver, because } = chooseStorage({
    fuseRefusal: fuseRefusal(host),
    marks: storeKeepsMarks(store),
    get overlay() {
      return keepsAllOwners() && overlayWorks(store);
    },
  });
  if (driver === 'copy' && because !== undefined)
    warn(`${whyCopy(because, host, store)}, so the root is a full copy of the image`);
  return driver;
}

function storeKeepsMarks(store: string): boolean {
  if (!existsSync(store)) return true; // an empty store has no image
  const fd = openSync(store, 'r');
  try {
    return keepsMarks(fd);
  } finally {
    closeSync(fd);
  }
}

/** Starts a driver, in the mount namespace of the root. */
export const startDriver = (driver: Driver): OpenRoot => DRIVE[driver]();

async function openUnion(request: RootRequest, thread: Worker): Promise<RootFilesystem> {
  const { id, init, lowers, upper, work, merged, autoRemove, owners } = request;
  const translation = idTranslation();
  const union = await mountUnion({
    lowers: [init, ...lowers],
    upper,
    work,
    mountpoint: merged,
    source: `tscr:${id}`,
    thread,
    layerChanges: 'never',
    volatile: autoRemove, // the container is removed anyway
    ...(translation && { ownership: translation }),
    ...(owners?.union && { ownership: ownershipOf(owners), virtualOwners: owners.union }),
  });
  return { path: merged, release: () => union.end() };
}

const ownershipOf = ({ mapped: { uid, gid } }: VirtualOwners): Ownership => ({
  keep: 'user',
  squashUid: uid,
  squashGid: gid,
});

/**
 * mount(2) accepts at most a page of options, so layers are named by descriptors instead of their long paths. The kernel
 * refuses a layer that is used twice (ELOOP): the lower occurrence has no effect, because the upper one covers all its
 * entries, so it is left out.
 */
function openOverlay({ init, lowers, upper, work, merged, autoRemove }: RootRequest): RootFilesystem {
  const directories = [...new Set([init, ...lowers])].map((path) =>
    openat(AT.FDCWD, toBytes(path), O.PATH | O.DIRECTORY),
  );
  const lower = directories.map((fd) => `/proc/self/fd/${fd}`).join(':');
  const escaped = (path: string): string => toBytes(path).replace(/[\\,:]/g, '\\$&');
  const options = [`lowerdir=${lower}`, `upperdir=${escaped(upper)}`, `workdir=${escaped(work)}`];
  const privileged = isInitialUserNamespace();
  const features = [
    ...(privileged ? ['index=on', 'redirect_dir=on'] : ['userxattr']),
    ...(autoRemove ? ['volatile'] : []),
  ];
  try {
    mount('tscr', toBytes(merged), 'overlay', 0, [...options, ...features].join(','));
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    throw overlayRefused(error.code);
  } finally {
    for (const fd of directories) close(fd);
  }
  return { path: merged, release: async () => umount2(toBytes(merged)) };
}

/** Whether overlayfs would store all owners: virtual owners and translated ids need the union or a copy. */
const keepsAllOwners = (): boolean => caller().namespace !== 'single' && idTranslation() === undefined;

/** Whether the kernel accepts a directory beside the containers as upper; found by mounting and unmounting. */
function overlayWorks(store: string): boolean {
  if (!existsSync(store)) return false;
  const trial = mkdtempSync(join(store, '.overlay-trial-'));
  const [lower, upper, work, merged] = ['lower', 'upper', 'work', 'merged'].map((name) => join(trial, name));
  try {
    for (const path of [lower, upper, work, merged]) mkdirSync(path as string);
    const names = { lowers: [], init: lower as string, upper: upper as string, work: work as string };
    openOverlay({ ...names, id: '', merged: merged as string, autoRemove: false });
    umount2(toBytes(merged as string));
    return true;
  } catch (error) {
    if (error instanceof HostError) return false;
    throw error;
  } finally {
    removePath(trial);
  }
}

function overlayRefused(code: number): HostError {
  const what =
    code === E.ENODEV ? 'this kernel has no overlayfs' : `cannot mount overlayfs: ${errnoName(code)}`;
  return new HostError(what, 'use --storage-driver unionfs');
}

/** Copies the layers to the container's own directory; its changes are the differences from the layers. */
function openCopy({ init, lowers, upper, work, owners }: RootRequest): RootFilesystem {
  const view = viewOf({ lowers: [init, ...lowers] });
  const to = openSync(upper, 'r');
  try {
    if (isNoexec(to))
      throw new HostError(
        `"${upper}" is on a filesystem that is mounted noexec, so programs of a copy cannot be executed`,
        'name another store with --root',
      );
    flatten(view, to, owners && keepInCopy(to));
    markCopied(work);
  } finally {
    closeSync(to);
    view.close();
  }
  return { path: upper, release: async () => {} };
}
