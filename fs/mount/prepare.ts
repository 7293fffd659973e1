/**
 * Prepares a mount: checks the options and the stack, and locks its directories.
 *
 * Rule: everything is checked before anything is changed; creating the work directory is the first change.
 */
import { accessSync, closeSync, constants, lstatSync, openSync, statfsSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { adviceFor } from '../sys/advice.js';
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

/** How long to wait for a lock of a server that is exiting. */
const LOCK_PATIENCE_MS = 2000;
const LOCK_RETRY_MS = 20;
const PRIVATE = 0o700;
const ROOT = 0;

type Writing = Required<Pick<Stack, 'upper' | 'work'>>;

/** A name as a message shows it. */
const quoted = (name: string): string => JSON.stringify(Buffer.from(name, 'latin1').toString());

export function prepare(options: MountOptions): { stack: Stack; mountpoint: string } {
  if (options.lowers.length === 0) throw new UsageError('missing lower layer; name one with --lower');
  checkContext(options.context);
  const lowers = options.lowers.map(lowerAt);
  const mountpoint = mountpointAt(options.mountpoint);
  if (options.upper === undefined) {
    if (options.work !== undefined)
      throw new UsageError(`workdir "${options.work}" needs an upper layer; name one with --upper`);
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

/** statfs(2) detects a mount whose server has ended; the kernel may have everything else cached. */
function mountpointAt(path: string): string {
  const directory = directoryAt(path);
  try {
    statfsSync(forNode(directory));
  } catch {
    throw new UsageError(deadMount(path));
  }
  return directory;
}

/** A lower layer, which must be readable: the server opens it after mounting. */
const lowerAt = (path: string): string =>
  layerAt(path, `cannot read lower "${path}"`, (directory) => closeSync(openSync(forNode(directory), 'r')));

const upperAt = (path: string): string =>
  layerAt(path, `cannot write to upper "${path}"`, (directory) =>
    accessSync(forNode(directory), constants.W_OK | constants.X_OK),
  );

/** A directory with the required access. @param attempt throws without that access */
function layerAt(path: string, complaint: string, attempt: (directory: string) => void): string {
  const directory = directoryAt(path);
  try {
    attempt(directory);
    return directory;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageError(`${complaint} as uid ${process.geteuid?.()}: ${code}`);
  }
}

/** A stack whose directories are locked by this process. */
export interface Taken {
  /** Upper and work, locked. */
  readonly writable: Writable | undefined;
  /** Records the stack in the work directory. */
  readonly record: () => void;
  /** Opens the server's log file in the work directory. */
  readonly openLog: () => number | undefined;
  /** Unlocks and closes the directories. */
  readonly unlock: () => void;
  /** The same, and removes a work directory that was created. */
  readonly undo: () => void;
}

/**
 * Locks upper and work, and creates work. If it throws `UsageError`, nothing has been changed. From here on both are
 * accessed only through their descriptors, so renaming them or their parents has no effect on the mount.
 * @param cancel is called on failure
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
/** The kernel's mark for an upper after an unclean end of a volatile mount. */
const INCOMPATIBLE = 'incompat';
const CLEAR = ', or empty this one with --clear-workdir';
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
      `cannot read workdir "${work}" as uid ${process.geteuid?.()}: ${errnoName(error.code)}`,
    );
  } finally {
    close(passage);
  }
}

/**
 * The content of the staging directory will be removed, so a work directory must be empty, ours, or the kernel's, unless
 * --clear-workdir is given. Then, as with overlayfs, other names in it are ignored.
 */
function checkWork(workFd: number, work: string, clears: boolean): void {
  const names = readDirectory(workFd).map(({ name }) => name);
  const foreign = clears
    ? names.find((name) => name === INCOMPATIBLE)
    : (names.find((name) => !WORK_NAMES.has(name)) ??
      (!names.includes(RECORD) && isForeignStaging(workFd) ? STAGING : undefined));
  if (foreign !== undefined) {
    throw new UsageError(
      `workdir "${work}" contains ${quoted(foreign)}, which does not belong to a work directory; choose an empty directory${foreign === STAGING ? CLEAR : ''}`,
    );
  }
  for (const name of WORK_FILES) {
    if (isDirectory(statat(workFd, name)?.mode ?? 0)) {
      throw new UsageError(`workdir "${work}" contains a directory "${name}"; remove it`);
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

/** The owner of the index could redirect hard links to other files with root's rights, so it must be this user. */
function checkIndexOwner(workFd: number, work: string): void {
  const stat = statat(workFd, INDEX);
  const user = process.geteuid?.();
  if (stat === undefined || user !== ROOT || (isDirectory(stat.mode) && stat.uid === user)) return;
  const what = isDirectory(stat.mode) ? `belongs to uid ${stat.uid}` : 'is not a directory';
  throw new UsageError(`"${INDEX}" in workdir "${work}" ${what}; choose a new work directory with --workdir`);
}

/** The index of another upper would show its files (ovl_verify_upper); the record names the upper. */
function checkIndex({ upper, work }: Writing, writable: Writable): void {
  const hasIndex = statat(writable.workFd, INDEX) !== undefined;
  if (!(hasIndex ? ownsIndex(upper, work, writable) : ownsRecord(upper, work)))
    throw new UsageError(
      `workdir "${work}" belongs to another upper; choose a new work directory with --workdir`,
    );
}

function ownsIndex(upper: string, work: string, writable: Writable): boolean {
  const layer = upperLayer(upper, writable);
  try {
    return indexBelongsTo(layer, writable.workFd) ?? recordedStack(work)?.upper === upper;
  } finally {
    close(layer.rootFd);
  }
}

/** Whether the record names this upper; a damaged record, and one of a moved upper, are accepted. */
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

/** If owners are stored in an xattr, upper's filesystem and this process must support it. */
function checkKeep(workFd: number, upper: string, ownership: Ownership | undefined): void {
  const keep = ownership?.keep;
  if (keep === undefined) return;
  try {
    setxattrat(workFd, '', keepingXattr(keep), Buffer.from('probe'));
    removexattrat(workFd, '', keepingXattr(keep));
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    const why =
      error.code === E.EPERM
        ? 'only root can write it'
        : `its filesystem refused it: ${errnoName(error.code)}`;
    throw new HostError(
      `cannot store owners in the xattr "${keepingXattr(keep)}" of upper "${upper}": ${why}`,
      'choose another upper',
    );
  }
}

/** The default work directory; another user who can write beside upper may have created anything there. */
function ownWork(upper: string): string {
  const path = defaultWork(upper);
  if (lstatSync(forNode(path), { throwIfNoEntry: false })?.isSymbolicLink() !== true) return realWork(path);
  throw new UsageError(
    `default workdir "${path}" is a symbolic link; choose a work directory with --workdir`,
  );
}

/** The real path of a work directory that may not exist yet; its parent must. */
function realWork(path: string): string {
  if (statSync(forNode(path), { throwIfNoEntry: false }) !== undefined) return directoryAt(path);
  const whole = absolute(path);
  return join(directoryAt(dirname(whole)), basename(whole));
}

/** Runs `act` in the parent directory of `work`. */
function beside<T>(work: string, act: (parent: number, name: string) => T): T {
  const parent = openWithoutSymlinks(toBytes(dirname(work)));
  try {
    return act(parent, toBytes(basename(work)));
  } finally {
    close(parent);
  }
}

/** Creates the work directory. @returns false if it exists */
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
    throw new UsageError(
      `cannot create workdir "${work}": ${errnoName(error.code)}${adviceFor(error.code, work)}`,
    );
  }
}

const removeWork = (work: string): void => beside(work, removeTree);

/** Marks of opaque directories need xattrs. */
function checkMarks(workFd: number, upper: string): void {
  if (keepsMarks(workFd)) return;
  throw new HostError(
    `upper "${upper}" is on a filesystem without extended attributes`,
    'use ext4, xfs, btrfs or tmpfs',
  );
}

/** Locks a directory; the lock ends with this process. */
async function lockDirectory(fd: number, path: string): Promise<void> {
  const deadline = performance.now() + LOCK_PATIENCE_MS;
  while (!flock(fd, LOCK.EX | LOCK.NB)) {
    if (performance.now() > deadline) throw new UsageError(`"${path}" is in use by another mount`);
    await setTimeout(LOCK_RETRY_MS);
  }
}
