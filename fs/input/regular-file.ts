/**
 * Reads files of a store that another user may control: without blocking and without following symlinks.
 *
 * Rule: what is opened is a regular file or nothing (a FIFO would wait for its writer, a symlink would lead out), by the
 * one way to open others' files (`fs/sys/private-file.ts`). Errors are complaints that follow the file's name.
 */
import { closeSync, createReadStream, fstatSync, type ReadStream, readFileSync } from 'node:fs';
import { AT, O } from '../sys/constants.js';
import { E, Errno, errnoName } from '../sys/errno.js';
import { toBytes } from '../sys/path-bytes.js';
import { openInspected } from '../sys/private-file.js';
import { isRegular, isSymlink, type Stat } from '../sys/stat.js';

/** Opens a file for reading. Throws an error that says what else it is; its code is ENOENT if there is none. */
export function openRegular(path: string): number {
  try {
    return openInspected(AT.FDCWD, toBytes(path), O.RDONLY, objection);
  } catch (error) {
    throw error instanceof Errno ? complaintOf(error) : error;
  }
}

function objection({ mode }: Stat): string | undefined {
  if (isSymlink(mode)) return 'is a symlink';
  return isRegular(mode) ? undefined : 'is not a regular file';
}

function complaintOf({ code }: Errno): Error {
  const name = errnoName(code);
  return code === E.ENOENT
    ? Object.assign(new Error(name), { code: name })
    : new Error(`cannot be read: ${name}`);
}

/** Reads a small file. Throws as `openRegular`, and if it has more than `limit` bytes. */
export function readRegular(path: string, limit: number): Buffer {
  const fd = openRegular(path);
  try {
    const { size } = fstatSync(fd);
    if (size > limit) throw new Error(`has ${size} bytes; the limit is ${limit}`);
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The same as a stream. */
export const streamRegular = (path: string): ReadStream => createReadStream(path, { fd: openRegular(path) });
