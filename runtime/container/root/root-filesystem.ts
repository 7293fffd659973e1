/**
 * The container's root: layers shown as one directory by one of three drivers, all with the same result.
 *
 * - `unionfs`: our union, served by this process.
 * - `overlay`: the kernel's, where it has one.
 * - `copy`: a plain copy, where nothing can be mounted: slow to make, and space for every container.
 *
 * Rules: mounts are made in the caller's own mount namespace (`namespaces.ts`), so that they end with it, however it
 * ends. The image's layers never change: they are not watched.
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
import { realHost } from '../../host/real-host.js';
import { removePath } from '../../image/store/workspace.js';
import { caller } from '../../rootless/caller.js';
import { fuseRefusal } from '../../rootless/facts.js';
import { chooseStorage } from '../../rootless/mode.js';
import { markCopied } from '../lifecycle/changes.js';
import type { VirtualOwners } from '../owners/service.js';
import type { ContainerRecord, Driver } from '../records/record.js';
import { idTranslation } from '../spec/id-translation.js';

/** What a driver needs to know of a container. */
export type RootRequest = Pick<
  ContainerRecord,
  'id' | 'lowers' | 'init' | 'upper' | 'work' | 'merged' | 'autoRemove'
> & {
  /** Owners are kept beside the files, and all files shown as the only user's. */
  readonly owners?: VirtualOwners | undefined;
};

export interface RootFilesystem {
  /** Where the root is. */
  readonly path: string;
  /** Ends the mount; whoever is still inside is cut off. */
  release(): Promise<void>;
}

/** Makes a container's root usable. Throws `UsageError` where the driver cannot work. */
export type OpenRoot = (request: RootRequest) => Promise<RootFilesystem>;

/** Each begins with what takes long and needs no container yet. */
const DRIVE: Record<Driver, () => OpenRoot> = {
  unionfs: () => {
    const thread = startServingThread();
    return (request) => openUnion(request, thread);
  },
  overlay: () => async (request) => openOverlay(withoutTranslation('overlay', request)),
  copy: () => async (request) => openCopy(withoutTranslation('copy', request)),
};

/** Only the union translates ids. */
function withoutTranslation(driver: Driver, request: RootRequest): RootRequest {
  if (idTranslation() === undefined) return request;
  throw new UsageError(`--userns "keep-id" and the storage driver "${driver}" do not go together`);
}

/**
 * The driver that was asked for, or the best that can work here; a copy is worth a warning. To be asked in the mount
 * namespace that the root will lie in, since overlayfs is tried there.
 * @param store where containers' files lie
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
  if (!existsSync(store)) return true; // there is no image either
  const fd = openSync(store, 'r');
  try {
    return keepsMarks(fd);
  } finally {
    closeSync(fd);
  }
}

/** Chooses what makes the root, in the mount namespace that the root will lie in. */
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
    volatile: autoRemove, // nobody sees it after a power cut
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
 * The kernel reads at most a page of options, so layers are named by descriptors and not by their long paths. It takes
 * no layer twice (ELOOP): whatever an image's layer holds, whiteouts too, its upper occurrence shows or hides before the
 * lower one is looked at, so that one can go.
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

/** Neither virtual owners nor ids that are shown as others take anything but the union or a copy. */
const keepsAllOwners = (): boolean => caller().namespace !== 'single' && idTranslation() === undefined;

/** Whether the kernel takes a directory beside the containers as upper; a mount there and back tells. */
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
    code === E.ENODEV ? 'this kernel has no overlay' : `overlay cannot be mounted: ${errnoName(code)}`;
  return new HostError(what, 'use --storage-driver unionfs');
}

/** The copy is the container's own directory: its changes are what differs from the layers. */
function openCopy({ init, lowers, upper, work, owners }: RootRequest): RootFilesystem {
  const view = viewOf({ lowers: [init, ...lowers] });
  const to = openSync(upper, 'r');
  try {
    if (isNoexec(to))
      throw new HostError(
        `"${upper}" is mounted noexec, and so would be a copy`,
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
