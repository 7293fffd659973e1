/** Small files of JSON that appear whole: written beside their place and renamed; read by the schema of what they hold. */
import { closeSync, fstatSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { UsageError } from '../../../fs/index.js';
import { parseDocument } from '../../../fs/input/document.js';
import type { Schema } from '../../../fs/input/schema.js';
import { quoted } from '../../../fs/input/shown.js';
import { readRegular } from '../../image/store/regular-file.js';

const MAX_BYTES = 4 * 1024 * 1024;

/** No space, or a quota that is used up. */
export const isFull = (error: unknown): boolean => {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
};

/** What a file holds; undefined if there is none. Throws `UsageError` naming the file, and the field where it is one. */
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

/** The same; undefined also for what cannot be read. */
export function tryReadJson<T>(schema: Schema<T>, path: string): T | undefined {
  try {
    return readJson(schema, path);
  } catch (error) {
    if (error instanceof UsageError) return undefined;
    throw error;
  }
}

/** A reader sees the old file or the new one. A power cut may lose either: what must not be lost is fsynced. */
export function writeJson(path: string, value: unknown, mode = 0o600): void {
  const fresh = `${path}.new`;
  rmSync(fresh, { force: true });
  try {
    writeFileSync(fresh, JSON.stringify(value, null, 2), { mode, flag: 'wx' });
  } catch (error) {
    rmSync(fresh, { force: true });
    throw error;
  }
  renameSync(fresh, path);
}

/** Takes the space now that a small document of this name will need, when there may be none any more. */
export function reserveJson(path: string, bytes: number): void {
  writeFileSync(`${path}.new`, ' '.repeat(bytes), { mode: 0o600, flag: 'wx' });
}

/** Writes a document into the space that was reserved for it, if it was. */
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
    writeSync(fd, JSON.stringify(value, null, 2).padEnd(size), 0); // over its blocks: none is given back or taken
  } finally {
    closeSync(fd);
  }
  renameSync(reserved, path);
}
