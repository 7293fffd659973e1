/** Small JSON files, written atomically (to a temporary file and renamed), and checked by a schema when they are read. */
import { closeSync, fstatSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { withPath } from '../sys/errno.js';
import { UsageError } from '../sys/refusal.js';
import { parseDocument } from './document.js';
import { readRegular } from './regular-file.js';
import type { Schema } from './schema.js';
import { quoted } from './shown.js';

const MAX_BYTES = 4 * 1024 * 1024;

/** Whether an error means that the disk is full or the quota is exceeded. */
export const isFull = (error: unknown): boolean => {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
};

/** The value of a file; undefined if it does not exist. Throws `UsageError` with the file and the field. */
export function readJson<T>(schema: Schema<T>, path: string): T | undefined {
  let bytes: Buffer;
  try {
    bytes = readRegular(path, MAX_BYTES);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new UsageError(`${quoted(path)} ${(error as Error).message}`);
  }
  return parseDocument(schema, bytes, quoted(path));
}

/** The same; undefined also if the file cannot be read. */
export function tryReadJson<T>(schema: Schema<T>, path: string): T | undefined {
  try {
    return readJson(schema, path);
  } catch (error) {
    if (error instanceof UsageError) return undefined;
    throw error;
  }
}

/** Replaces a file atomically, without fsync: after a power failure the content may be lost. */
export function writeJson(path: string, value: unknown, mode = 0o600): void {
  const fresh = `${path}.new`;
  rmSync(fresh, { force: true });
  try {
    writeFileSync(fresh, JSON.stringify(value, null, 2), { mode, flag: 'wx' });
  } catch (error) {
    rmSync(fresh, { force: true });
    throw withPath(path, error);
  }
  renameSync(fresh, path);
}

/** Reserves the space for a small document that must be written even if the disk is full by then. */
export function reserveJson(path: string, bytes: number): void {
  try {
    writeFileSync(`${path}.new`, ' '.repeat(bytes), { mode: 0o600, flag: 'wx' });
  } catch (error) {
    throw withPath(path, error);
  }
}

/** Writes a document into its reserved space, if there is one. */
export function writeReservedJson(path: string, value: unknown): void {
  const reserved = `${path}.new`;
  let fd: number;
  try {
    fd = openSync(reserved, 'r+');
  } catch {
    writeJson(path, value);
    return;
  }
  try {
    const { size } = fstatSync(fd);
    writeSync(fd, JSON.stringify(value, null, 2).padEnd(size), 0); // overwrites its blocks, so that none is freed or allocated
  } finally {
    closeSync(fd);
  }
  renameSync(reserved, path);
}
