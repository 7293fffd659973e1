/**
 * The containers of a store: `ROOT/containers/ID/container.json`.
 *
 * Rule: a container is there once its record is; a directory without one is being made or removed, and is passed over.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../../fs/index.js';
import { suggestion } from '../nearest.js';
import type { ContainerRecord } from './record.js';

export const CONTAINERS = 'containers';
export const RECORD = 'container.json';

/** Every container's record, the newest first. @param root the store's */
export function listRecords(root: string): ContainerRecord[] {
  const directory = join(root, CONTAINERS);
  const records = namesIn(directory).map((id) => readRecord(join(directory, id, RECORD)));
  return records
    .filter((record) => record !== undefined)
    .sort((a, b) => b.created.localeCompare(a.created) || a.id.localeCompare(b.id));
}

/** The container with this name, ID or beginning of an ID; undefined if there is none. Throws `UsageError` if several. */
export function searchRecord(root: string, text: string): ContainerRecord | undefined {
  const records = listRecords(root);
  const exact = records.find(({ id, name }) => id === text || name === text);
  if (exact !== undefined) return exact;
  const found = text === '' ? [] : records.filter(({ id }) => id.startsWith(text));
  if (found.length > 1)
    throw new UsageError(`"${text}" begins the IDs of ${found.length} containers; give more of it`);
  return found[0];
}

/** The same, for a container that must be there. Throws `UsageError`. */
export function findRecord(root: string, text: string): ContainerRecord {
  const found = searchRecord(root, text);
  if (found !== undefined) return found;
  const names = listRecords(root).map(({ name }) => name);
  throw new UsageError(`no container "${text}"${suggestion(text, names)}`);
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function readRecord(path: string): ContainerRecord | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as ContainerRecord;
  } catch {
    throw new UsageError(`"${path}" is damaged; remove its directory`);
  }
}
