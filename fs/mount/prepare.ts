/**
 * What happens before a mount: the options become a checked stack, and its directories are taken.
 *
 * Rule: everything is checked before anything is changed; making the work directory is the first change.
 */
import { accessSync, closeSync, constants, lstatSync, openSync, statfsSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { LOCK, O } from '../sys/constants.js';
import { E, Errno, errnoName, unless } from '../sys/errno.js';
import { forNode, toBytes } from '../sys/path-bytes.js';
import { openAppending, openWithoutSymlinks } from '../sys/private-file.js';
import { HostError, UsageError } from '../sys/refusal.js';
import { isDirectory } from '../sys/stat.js';
import {
  close,
  fchmodat,
  flock,
  mkdirat,
  openat,
  readDirectory,
  removexattrat,
  setxattrat,
  statat,
} from '../sys/syscalls.js';
import { isReachedApart, PrivateMount, upperLayer, type Writable } from '../union/layers/layer.js';
import { keepsMarks } from '../union/layers/marks.js';
import {
  absolute,
  checkStack,
  deadMount,
  defaultWork,
  directoryAt,
  LOG,
  RECORD,
  recordedStack,
  recordStack,
  type Stack,
} from '../union/layers/stack.js';
import { removeTree, STAGING } from '../union/layers/work.js';
import { INDEX, indexBelongsTo } from '../union/nodes/link-index.js';
import { keepingXattr, type Ownership } from '../union/owners/id-mapping.js';
import type { MountOptions } from './options.js';
import { checkContext, checkInodes } from './requirements.js';

/** How long a lock may still be held by a server that is ending. */
const LOCK_PATIENCE_MS = 2000;
const LOCK_RETRY_MS = 20;
const PRIVATE = 0o700;
const ROOT = 0;

type Writing = Required<Pick<Stack, 'upper' | 'work'>>;

/** A name as a message shows it. */
const quoted = (name: string): string => JSON.stringify(Buffer.from(name, 'latin1').toString());

export function prepare(options: MountOptions): { stack: Stack; mountpoint: string } {
  if (options.lowers.length === 0) throw new UsageError('no lower layer is given; name one with --lower');
  checkContext(options.context);
  const lowers = options.lowers.map(lowerAt);
  const mountpoint = mountpointAt(options.mountpoint);
  if (options.upper === undefined) {
    if (options.work !== undefined)
      throw new UsageError(`workdir "${options.work}" is of no use without --upper`);
    const stack = { lowers };
    checkStack(stack, mountpoint, isReachedApart);
    checkInodes(stack, options);
    return { stack, mountpoint };
  }
  const upper = upperAt(options.upper);
  const work = options.work === undefined ? ownWork(upper) : realWork(options.work);
  const stack = { lowers, upper, work };
  checkStack(stack, mountpoint, isReachedApart);
  checkInodes(stack, options);
  if (statSync(forNode(work), { throwIfNoEntry: false }) !== undefined)
    checkWorkAt(work, options.clearsWork === true);
  return { stack, mountpoint };
}

/** The kernel may remember all of a mount whose server is gone but what statfs(2) tells. */
function mountpointAt(path: string): string {
  const directory = directoryAt(path);
  try {
    statfsSync(forNode(directory));
  } catch {
    throw new UsageError(deadMount(path));
  }
  return directory;
}

/** A lower layer, which must be readable: the server opens it when the mount is there already. */
const lowerAt = (path: string): string =>
  layerAt(path, `lower "${path}" cannot be read`, (directory) =>
    closeSync(openSync(forNode(directory), 'r')),
  );

const upperAt = (path: string): string =>
  layerAt(path, `upper "${path}" cannot be written`, (directory) =>
    accessSync(forNode(directory), constants.W_OK | constants.X_OK),
  );

/** A directory that this process can use as it must. @param attempt throws if it cannot */
function layerAt(path: string, complaint: string, attempt: (directory: string) => void): string {
  const directory = directoryAt(path);
  try {
    attempt(directory);
    return directory;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageError(`${complaint} by uid ${process.geteuid?.()}: ${code}`);
  }
}

/** A stack whose directories are this process's. */
export interface Taken {
  /** Upper and work, locked. */
  readonly writable: Writable | undefined;
  /** Writes down in work what stack it belongs to. */
  readonly record: () => void;
  /** Opens the file in work that takes what the server complains of. */
  readonly openLog: () => number | undefined;
  /** Lets go of them. */
  readonly unlock: () => void;
  /** The same, and what was made is removed again. */
  readonly undo: () => void;
}

/**
 * Takes upper and work, and makes work. Throws `UsageError`, and nothing is changed then. From here on they are reached
 * through these descriptors alone: whoever may rename them, or what lies above them, is left with another directory.
 * @param cancel what else is to be done about a failure
 */
export async function take(
  stack: Stack,
  { ownership, flags, clearsWork }: Pick<MountOptions, 'ownership' | 'flags' | 'clearsWork'>,
  cancel: () => void,
): Promise<Taken> {
  const { upper, work } = stack;
  const nothing = (): undefined => undefined;
  if (upper === undefined || work === undefined) {
    return { writable: undefined, record: nothing, openLog: nothing, unlock: nothing, undo: nothing };
  }
  const open: number[] = [];
  const unlock = (): void => open.splice(0).forEach(close);
  let remove = (): void => {};
  const undo = (): void => {
    remove();
    unlock();
  };
  const track = (fd: number): number => {
    open.push(fd);
    return fd;
  };
  try {
    const mount = new PrivateMount(upper, work, flags);
    track(mount.fd);
    const upperFd = track(mount.open(upper));
    await lockDirectory(upperFd, upper);
    if (makeWork(work)) remove = () => removeWork(work);
    const workFd = track(mount.open(work));
    await lockDirectory(workFd, work);
    const writable = { upperFd, workFd, told: mount.told };
    checkWork(workFd, work, clearsWork === true);
    checkMarks(workFd, upper);
    checkIndex({ upper, work }, writable);
    checkKeep(workFd, upper, ownership);
    const record = (): void => recordStack(workFd, { ...stack, work });
    return { writable, record, openLog: () => openAppending(workFd, LOG), unlock, undo };
  } catch (error) {
    undo();
    cancel();
    throw error;
  }
}

/** What this program and the kernel keep in a work directory. */
const WORK_NAMES = new Set([STAGING, INDEX, RECORD, `${RECORD}.new`, LOG]);
/** Where the kernel says that upper is not to be trusted, after a volatile mount that was not ended. */
const INCOMPATIBLE = 'incompat';
const CLEAR = ', or have it emptied with --clear-workdir';
const WORK_FILES = [RECORD, `${RECORD}.new`, LOG];
const PERMISSIONS = 0o777;

function checkWorkAt(work: string, clears: boolean): void {
  const passage = openWithoutSymlinks(toBytes(work));
  try {
    const fd = openat(passage, '.', O.RDONLY | O.DIRECTORY);
    try {
      checkWork(fd, work, clears);
    } finally {
      close(fd);
    }
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    throw new UsageError(
      `workdir "${work}" cannot be read by uid ${process.geteuid?.()}: ${errnoName(error.code)}`,
    );
  } finally {
    close(passage);
  }
}

/**
 * What lies in its staging directory will be removed, so a work directory must be empty, ours, or the kernel's, unless it
 * is said that it is one. Then, as with overlayfs, other names in it do not matter.
 */
function checkWork(workFd: number, work: string, clears: boolean): void {
  const names = readDirectory(workFd).map(({ name }) => name);
  const foreign = clears
    ? names.find((name) => name === INCOMPATIBLE)
    : (names.find((name) => !WORK_NAMES.has(name)) ??
      (!names.includes(RECORD) && isForeignStaging(workFd) ? STAGING : undefined));
  if (foreign !== undefined) {
    throw new UsageError(
      `workdir "${work}" holds ${quoted(foreign)}, which is not scratch; choose an empty directory${foreign === STAGING ? CLEAR : ''}`,
    );
  }
  for (const name of WORK_FILES) {
    if (isDirectory(statat(workFd, name)?.mode ?? 0)) {
      throw new UsageError(`workdir "${work}" holds a directory "${name}"; remove it`);
    }
  }
  checkIndexOwner(workFd, work);
}

/** A directory with content that neither this program nor the kernel, which makes it with mode 0, has made. */
function isForeignStaging(workFd: number): boolean {
  const stat = statat(workFd, STAGING);
  if (stat === undefined || !isDirectory(stat.mode) || (stat.mode & PERMISSIONS) === 0) return false;
  const fd = openat(workFd, STAGING, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
  try {
    return readDirectory(fd).length > 0;
  } finally {
    close(fd);
  }
}

/** Whoever owns the index could give the names of one file to another, with root's rights. */
function checkIndexOwner(workFd: number, work: string): void {
  const stat = statat(workFd, INDEX);
  const user = process.geteuid?.();
  if (stat === undefined || user !== ROOT || (isDirectory(stat.mode) && stat.uid === user)) return;
  const what = isDirectory(stat.mode) ? `belongs to uid ${stat.uid}` : 'is not a directory';
  throw new UsageError(`"${INDEX}" in workdir "${work}" ${what}; choose a new one with --workdir`);
}

/** An index of another upper's files would show these (ovl_verify_upper), and the record says whose changes these are. */
function checkIndex({ upper, work }: Writing, writable: Writable): void {
  const hasIndex = statat(writable.workFd, INDEX) !== undefined;
  if (!(hasIndex ? ownsIndex(upper, work, writable) : ownsRecord(upper, work)))
    throw new UsageError(`workdir "${work}" belongs to another upper; choose a new one with --workdir`);
}

function ownsIndex(upper: string, work: string, writable: Writable): boolean {
  const layer = upperLayer(upper, writable);
  try {
    return indexBelongsTo(layer, writable.workFd) ?? recordedStack(work)?.upper === upper;
  } finally {
    close(layer.rootFd);
  }
}

/** A damaged record is nobody's; one of what is gone has moved along with its upper. */
function ownsRecord(upper: string, work: string): boolean {
  const own = statSync(forNode(upper));
  try {
    const recorded = recordedStack(work)?.upper;
    const other = recorded === undefined ? own : statSync(forNode(recorded));
    return other.dev === own.dev && other.ino === own.ino;
  } catch {
    return true;
  }
}

/** Where owners are to be kept in an attribute, upper's filesystem and this process must be able to. */
function checkKeep(workFd: number, upper: string, ownership: Ownership | undefined): void {
  const keep = ownership?.keep;
  if (keep === undefined) return;
  try {
    setxattrat(workFd, '', keepingXattr(keep), Buffer.from('probe'));
    removexattrat(workFd, '', keepingXattr(keep));
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    const why =
      error.code === E.EPERM ? 'that takes root' : `its filesystem cannot: ${errnoName(error.code)}`;
    throw new HostError(
      `"${upper}" cannot keep owners in "${keepingXattr(keep)}": ${why}`,
      'choose another upper',
    );
  }
}

/** The default work directory, which nobody has named: whoever may write beside upper may have put anything there. */
function ownWork(upper: string): string {
  const path = defaultWork(upper);
  if (lstatSync(forNode(path), { throwIfNoEntry: false })?.isSymbolicLink() !== true) return realWork(path);
  throw new UsageError(`"${path}" is a symbolic link; name the work directory with --workdir`);
}

/** The real path of a work directory that may not exist yet; its parent must. */
function realWork(path: string): string {
  if (statSync(forNode(path), { throwIfNoEntry: false }) !== undefined) return directoryAt(path);
  const whole = absolute(path);
  return join(directoryAt(dirname(whole)), basename(whole));
}

/** Does something in the directory that holds `work`. */
function beside<T>(work: string, act: (parent: number, name: string) => T): T {
  const parent = openWithoutSymlinks(toBytes(dirname(work)));
  try {
    return act(parent, toBytes(basename(work)));
  } finally {
    close(parent);
  }
}

/** Makes the work directory; whether it was made. */
function makeWork(work: string): boolean {
  try {
    const made = beside(work, (parent, name) =>
      unless([E.EEXIST], () => {
        mkdirat(parent, name, PRIVATE);
        fchmodat(parent, name, PRIVATE); // whatever the umask
        return true;
      }),
    );
    return made === true;
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    throw new UsageError(`workdir "${work}" cannot be made: ${errnoName(error.code)}`);
  }
}

const removeWork = (work: string): void => beside(work, removeTree);

/** Opaque directories are marked by attributes. */
function checkMarks(workFd: number, upper: string): void {
  if (keepsMarks(workFd)) return;
  throw new HostError(
    `upper "${upper}" is on a filesystem without extended attributes`,
    'use ext4, xfs, btrfs or tmpfs',
  );
}

/** Takes a directory for this process; the lock ends with it, however it ends. */
async function lockDirectory(fd: number, path: string): Promise<void> {
  const deadline = performance.now() + LOCK_PATIENCE_MS;
  while (!flock(fd, LOCK.EX | LOCK.NB)) {
    if (performance.now() > deadline) throw new UsageError(`"${path}" is in use by another mount`);
    await setTimeout(LOCK_RETRY_MS);
  }
}
