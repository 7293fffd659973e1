/**
 * A stack of layers as a user names it: checked before anything is changed, and recorded in the work directory.
 *
 * Rules: every complaint is one line with the offending value. No layer lies in the mountpoint, and the mountpoint in no
 * layer whose mount cannot be copied: the server would wait for itself. Lower layers may contain upper, as in overlayfs, but upper never a lower layer,
 * which it would change. The record lets `diff` and later tools find the lowers when nothing is mounted.
 */
import { readlinkSync, realpathSync, type Stats, statSync } from 'node:fs';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { checkDocument, DocumentError, parseJson } from '../../input/document.js';
import { absolutePath, integer, listOf, type Output, optional, struct } from '../../input/schema.js';
import { AT, O } from '../../sys/constants.js';
import { E, Errno, errnoName, unless } from '../../sys/errno.js';
import { forNode, toBytes, toText } from '../../sys/path-bytes.js';
import { NotOurs, readPrivate, replacePrivate } from '../../sys/private-file.js';
import { UsageError } from '../../sys/refusal.js';
import { close, mountOf, openat } from '../../sys/syscalls.js';

const VERSIONED = struct({ version: integer });
export const RECORDED = struct({
  lowers: listOf(absolutePath),
  upper: optional(absolutePath),
  work: optional(absolutePath),
});

/** Absolute paths, symlinks resolved; the topmost lower first. */
export type Stack = Output<typeof RECORDED>;

/** The record of the stack, and the server's log, in the work directory. */
export const RECORD = 'unionfs.json';
export const LOG = 'unionfs.log';
const RECORD_VERSION = 1;
/** Bytes; a thousand layers with the longest paths. */
const RECORD_MAX = 8 * 1024 * 1024;

/** Splits `a:b`; `\:` is a colon and `\\` a backslash within a path. */
export function splitLayers(list: string): string[] {
  const paths = [''];
  for (const [, escaped, separator, other] of list.matchAll(/\\(.)|(:)|([^:\\]+|\\)/gs)) {
    if (separator !== undefined) paths.push('');
    else paths[paths.length - 1] += escaped ?? other ?? '';
  }
  return paths;
}

/** The inverse of `splitLayers`, as /proc/mounts shows it. */
export function joinLayers(paths: readonly string[]): string {
  return paths.map((path) => path.replace(/[\\:]/g, '\\$&')).join(':');
}

export const defaultWork = (upper: string): string =>
  join(dirname(upper), `.${basename(upper)}.unionfs-work`);

/** The real path of an existing directory. */
export function directoryAt(path: string): string {
  const stat = statOrExplain(path);
  if (path === '' || stat === undefined) throw new UsageError(`"${path}" does not exist`);
  if (!stat.isDirectory()) throw new UsageError(`"${path}" is not a directory`);
  return realPath(path);
}

/** realpath(3). */
export const realPath = (path: string): string => toText(realpathSync.native(forNode(path), 'latin1'));

/** The working directory; Node would replace bytes of its name. */
export const workingDirectory = (): string => toText(readlinkSync('/proc/self/cwd', 'latin1'));

/** A path from the root, without "." and "..". */
export const absolute = (path: string): string => resolve(workingDirectory(), path);

export const deadMount = (path: string): string =>
  `"${path}" is a mount whose server is gone; run "unionfs umount ${path}"`;

function statOrExplain(path: string): Stats | undefined {
  try {
    return statSync(forNode(path), { throwIfNoEntry: false });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOTCONN') throw new UsageError(deadMount(path));
    if (code === 'ENOTDIR') return undefined;
    throw new UsageError(`cannot read "${path}": ${code}`);
  }
}

/** Whether `inner` is `outer` or lies below it. */
function contains(outer: string, inner: string): boolean {
  return inner === outer || inner.startsWith(outer === sep ? outer : outer + sep);
}

/**
 * Refuses stacks that would loop into themselves or lose data.
 * @param isApart whether a layer is reached through a copy of its mount, in which nothing is mounted below it: then the
 *   mountpoint may lie in it, and shows there what it covers, as with overlayfs
 */
export function checkStack(
  stack: Stack,
  mountpoint: string,
  isApart: (layer: string) => boolean = () => false,
): void {
  const { lowers, upper, work } = stack;
  const layers = [...lowers, ...[upper, work].filter((path) => path !== undefined)];
  for (const layer of layers) {
    if (contains(mountpoint, layer)) {
      throw new UsageError(`the layer "${layer}" lies inside the mountpoint "${mountpoint}"`);
    }
    if (contains(layer, mountpoint) && (layer === work || !isApart(layer))) {
      throw new UsageError(`the mountpoint "${mountpoint}" lies inside the layer "${layer}"`);
    }
  }
  if (upper === undefined || work === undefined) return;
  if (contains(upper, work) || contains(work, upper)) {
    throw new UsageError(`upper "${upper}" and workdir "${work}" must not contain each other`);
  }
  for (const lower of lowers) {
    const outer = [upper, work].find((path) => contains(path, lower));
    if (outer !== undefined) throw new UsageError(`the lower layer "${lower}" lies inside "${outer}"`);
  }
  const existing = statSync(forNode(work), { throwIfNoEntry: false }) === undefined ? dirname(work) : work;
  if (mountOf(toBytes(upper)) !== mountOf(toBytes(existing))) {
    const what = statSync(forNode(upper)).dev === statSync(forNode(existing)).dev ? 'mount' : 'filesystem';
    throw new UsageError(
      `workdir "${work}" is not on the ${what} of upper "${upper}"; choose one with --workdir`,
    );
  }
}

/** Writes the record of what is mounted into the work directory; a half-written one is never seen. */
export function recordStack(workFd: number, stack: Stack & { work: string }): void {
  const text = JSON.stringify({ version: RECORD_VERSION, ...stack }, null, 2);
  replacePrivate(workFd, RECORD, Buffer.from(`${text}\n`));
}

/** The recorded stack of a work directory; undefined if there is none. */
export function recordedStack(work: string): Stack | undefined {
  const fd = unless([E.ENOENT, E.ENOTDIR, E.EACCES], () =>
    openat(AT.FDCWD, toBytes(work), O.RDONLY | O.DIRECTORY),
  );
  if (fd === undefined) return undefined;
  try {
    return recordIn(fd, join(work, RECORD));
  } finally {
    close(fd);
  }
}

/** @param path of the record, for messages */
function recordIn(workFd: number, path: string): Stack | undefined {
  try {
    const bytes = readPrivate(workFd, RECORD, RECORD_MAX);
    return bytes && parseRecord(bytes, `"${path}"`);
  } catch (error) {
    if (error instanceof NotOurs)
      throw new UsageError(`"${path}" ${error.message}, so it cannot be trusted; remove it`);
    if (error instanceof Errno) throw new UsageError(`cannot read "${path}": ${errnoName(error.code)}`);
    if (error instanceof DocumentError)
      throw new UsageError(`"${path}" is damaged (${error.message}); the next mount writes it again`);
    throw error;
  }
}

function parseRecord(bytes: Buffer, what: string): Stack {
  const record = parseJson(bytes, what, RECORD_MAX);
  const { version } = checkDocument(VERSIONED, record, what);
  if (version === RECORD_VERSION) return checkDocument(RECORDED, record, what);
  throw new UsageError(`${what} has the unsupported version ${version}; supported is ${RECORD_VERSION}`);
}
