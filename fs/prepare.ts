/**
 * What happens before a mount: the options become a checked stack, and its directories are taken.
 *
 * Rule: everything is checked before anything is changed; making the work directory is the first change.
 */
import {
  accessSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { MountOptions } from './index.js';
import { LOCK } from './sys/constants.js';
import { E, Errno, errnoName } from './sys/errno.js';
import { close, flock, removexattrat, setxattrat } from './sys/syscalls.js';
import { openApart, openUpper } from './union/layer.js';
import { INDEX, indexBelongsTo } from './union/link-index.js';
import { keepingXattr, type Ownership } from './union/ownership.js';
import {
  checkStack,
  defaultWork,
  directoryAt,
  HostError,
  LOG,
  RECORD,
  recordedStack,
  recordStack,
  type Stack,
  toBytes,
  UsageError,
} from './union/stack.js';
import { keepsMarks } from './union/whiteout.js';
import { STAGING } from './union/work.js';

/** How long a lock may still be held by a server that is ending. */
const LOCK_PATIENCE_MS = 2000;
const LOCK_RETRY_MS = 20;

export function prepare(options: MountOptions): { stack: Stack; mountpoint: string } {
  if (options.lowers.length === 0) throw new UsageError('no lower layer is given; name one with --lower');
  const lowers = options.lowers.map(lowerAt);
  const mountpoint = directoryAt(options.mountpoint);
  if (options.upper === undefined) {
    if (options.work !== undefined)
      throw new UsageError(`workdir "${options.work}" is of no use without --upper`);
    const stack = { lowers };
    checkStack(stack, mountpoint);
    return { stack, mountpoint };
  }
  const upper = upperAt(options.upper);
  const work = realWork(options.work ?? defaultWork(upper));
  const stack = { lowers, upper, work };
  checkStack(stack, mountpoint);
  checkWork(work);
  return { stack, mountpoint };
}

/** A lower layer, which must be readable: the server opens it when the mount is there already. */
const lowerAt = (path: string): string =>
  layerAt(path, `lower "${path}" cannot be read`, (directory) => closeSync(openSync(directory, 'r')));

const upperAt = (path: string): string =>
  layerAt(path, `upper "${path}" cannot be written`, (directory) =>
    accessSync(directory, constants.W_OK | constants.X_OK),
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
  /** Lets go of them. */
  readonly unlock: () => void;
  /** The same, and what was made is removed again. */
  readonly undo: () => void;
}

/**
 * Takes upper and work, and makes work. Throws `UsageError`, and nothing is changed then.
 * @param cancel what else is to be done about a failure
 */
export async function take(
  stack: Stack,
  ownership: Ownership | undefined,
  cancel: () => void,
): Promise<Taken> {
  const { upper, work } = stack;
  const locks: number[] = [];
  const unlock = (): void => locks.splice(0).forEach(close);
  let remove = (): void => {};
  const undo = (): void => {
    remove();
    unlock();
  };
  try {
    if (upper !== undefined) locks.push(await lockDirectory(upper));
    if (makeWork(stack) && work !== undefined) remove = () => rmSync(work, { recursive: true, force: true });
    if (work !== undefined) locks.push(await lockDirectory(work));
    checkMarks(stack);
    checkIndex(stack);
    checkKeep(stack, ownership);
    return { unlock, undo };
  } catch (error) {
    undo();
    cancel();
    throw error;
  }
}

/** Writes down in work what stack it belongs to. */
export function record(stack: Stack): void {
  if (stack.work !== undefined) recordStack({ ...stack, work: stack.work });
}

/** What this program and the kernel keep in a work directory. */
const WORK_NAMES = new Set([STAGING, INDEX, RECORD, `${RECORD}.new`, LOG]);
const PERMISSIONS = 0o777;

/** What lies in it will be removed, so a work directory must be empty, ours, or the kernel's. */
function checkWork(work: string): void {
  if (statSync(work, { throwIfNoEntry: false }) === undefined) return;
  const names = readdirSync(work);
  const staging = join(work, STAGING);
  const unknown =
    names.includes(STAGING) &&
    !names.includes(RECORD) &&
    (statSync(staging).mode & PERMISSIONS) !== 0 && // the kernel makes it with mode 0
    readdirSync(staging).length > 0;
  const foreign = names.find((name) => !WORK_NAMES.has(name)) ?? (unknown ? STAGING : undefined);
  if (foreign !== undefined) {
    throw new UsageError(
      `workdir "${work}" holds "${foreign}", which is not scratch; choose an empty directory`,
    );
  }
}

/** An index of another upper's files would show these (ovl_verify_upper), and the record says whose changes these are. */
function checkIndex({ upper, work }: Stack): void {
  if (upper === undefined || work === undefined) return;
  const hasIndex = statSync(join(work, INDEX), { throwIfNoEntry: false }) !== undefined;
  if (!(hasIndex ? ownsIndex(upper, work) : ownsRecord(upper, work)))
    throw new UsageError(`workdir "${work}" belongs to another upper; choose a new one with --workdir`);
}

function ownsIndex(upper: string, work: string): boolean {
  const { layer, workFd } = openUpper(upper, work);
  const owned = indexBelongsTo(layer, workFd) ?? recordedStack(work)?.upper === upper;
  close(workFd);
  close(layer.rootFd);
  return owned;
}

/** A damaged record is nobody's; one of what is gone has moved along with its upper. */
function ownsRecord(upper: string, work: string): boolean {
  const own = statSync(upper);
  try {
    const recorded = recordedStack(work)?.upper;
    const other = recorded === undefined ? own : statSync(recorded);
    return other.dev === own.dev && other.ino === own.ino;
  } catch {
    return true;
  }
}

/** Where owners are to be kept in an attribute, upper's filesystem and this process must be able to. */
function checkKeep({ upper, work }: Stack, ownership: Ownership | undefined): void {
  const keep = ownership?.keep;
  if (keep === undefined || upper === undefined || work === undefined) return;
  const fd = openApart(toBytes(work));
  try {
    setxattrat(fd, '', keepingXattr(keep), Buffer.from('probe'));
    removexattrat(fd, '', keepingXattr(keep));
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    const why =
      error.code === E.EPERM ? 'that takes root' : `its filesystem cannot: ${errnoName(error.code)}`;
    throw new HostError(
      `"${upper}" cannot keep owners in "${keepingXattr(keep)}": ${why}`,
      'choose another upper',
    );
  } finally {
    close(fd);
  }
}

/** The real path of a work directory that may not exist yet; its parent must. */
function realWork(path: string): string {
  if (statSync(path, { throwIfNoEntry: false }) !== undefined) return directoryAt(path);
  const absolute = resolve(path);
  return join(directoryAt(dirname(absolute)), basename(absolute));
}

/** Makes the work directory; whether it was made. */
function makeWork({ work }: Stack): boolean {
  if (work === undefined || statSync(work, { throwIfNoEntry: false }) !== undefined) return false;
  try {
    mkdirSync(work, { mode: 0o700 });
    return true;
  } catch (error) {
    throw new UsageError(`workdir "${work}" cannot be made: ${(error as NodeJS.ErrnoException).code}`);
  }
}

/** Opaque directories are marked by attributes. */
function checkMarks({ upper, work }: Stack): void {
  if (work === undefined) return;
  const fd = openApart(toBytes(work));
  const kept = keepsMarks(fd);
  close(fd);
  if (!kept) {
    throw new HostError(
      `upper "${upper}" is on a filesystem without extended attributes`,
      'use ext4, xfs, btrfs or tmpfs',
    );
  }
}

/** Takes a directory for this process; the lock ends with it, however it ends. */
async function lockDirectory(path: string): Promise<number> {
  const fd = openApart(toBytes(path));
  if (await lock(fd)) return fd;
  close(fd);
  throw new UsageError(`"${path}" is in use by another mount`);
}

async function lock(fd: number): Promise<boolean> {
  const deadline = performance.now() + LOCK_PATIENCE_MS;
  while (!flock(fd, LOCK.EX | LOCK.NB)) {
    if (performance.now() > deadline) return false;
    await setTimeout(LOCK_RETRY_MS);
  }
  return true;
}
