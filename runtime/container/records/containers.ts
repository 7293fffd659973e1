/**
 * The containers of a store, and their status.
 *
 * Rules:
 * - `ROOT/containers/ID` appears by one rename with its record in it, and disappears by one. Its lease on the layers
 *   exists before, and is removed after its last file (`image/store/leases.ts`).
 * - A container is locked (`container-lock.ts`) from before its directory appears until its exit is recorded. A container
 *   without lock and exit record belongs to a command that was killed.
 * - The next command on the same node cleans up such containers, never those of another node.
 * - The exit record is written into space that was reserved at creation, because the container may have filled the disk.
 * - An unreadable record affects only its own container, whose files stay until it is removed by its ID.
 */
import { existsSync, mkdirSync, openSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../../../fs/index.js';
import { readJson, reserveJson, writeJson, writeReservedJson } from '../../../fs/input/json-file.js';
import { count, type Output, struct, text } from '../../../fs/input/schema.js';
import { removeTree } from '../../../fs/layers.js';
import { LOCK } from '../../../fs/sys/constants.js';
import { close, flock } from '../../../fs/sys/syscalls.js';
import { thisNode } from '../../host/node.js';
import { CONTAINERS, removeLease, writeLease } from '../../image/store/leases.js';
import { isWritable, requireWritable } from '../../image/store/place.js';
import { holderOfContainer, leaseOf } from './container-lease.js';
import { ContainerLock, isLocked, lockOwnerOf, lockOwners } from './container-lock.js';
import { CONTAINER_RECORD, type ContainerRecord } from './record.js';

const RECORD = 'container.json';
const EXIT = 'exit.json';
const PRIVATE = 0o700;
/** Exit code of a container whose supervisor was killed: 128 + SIGKILL. */
const KILLED = 137;
/** Exit code if the exit record cannot be read: docker's code for errors of the runtime. */
const UNKNOWN = 125;
const SHORT_ID = 12;
/** More than the size of an `Exit`. */
const EXIT_BYTES = 128;

/** How a container ended. */
export const EXIT_RECORD = struct({
  exitCode: count,
  /** RFC 3339. */
  finished: text,
});
export type Exit = Output<typeof EXIT_RECORD>;

export type Status =
  | { readonly is: 'created' }
  | { readonly is: 'running'; readonly pid: number }
  | ({ readonly is: 'exited' } & Exit)
  /** It was started on another node. */
  | { readonly is: 'elsewhere' };

export const shortId = (id: string): string => id.slice(0, SHORT_ID);

const containersOf = (root: string): string => join(root, CONTAINERS);
/** The directory of a container's files. */
export const directoryOf = (root: string, id: string): string => join(containersOf(root), id);

// --- reading

/** All records that can be read, the newest first. A container that disappears meanwhile is left out. */
export function listRecords(root: string): ContainerRecord[] {
  const records = idsIn(root).flatMap((id) => {
    const read = readRecord(root, id);
    return read === undefined || 'problem' in read ? [] : read;
  });
  return records.sort((a, b) => (a.created < b.created ? 1 : -1));
}

/** A container whose record cannot be read. */
export interface DamagedRecord {
  readonly id: string;
  readonly problem: string;
}

export const damagedRecords = (root: string): DamagedRecord[] =>
  idsIn(root).flatMap((id) => {
    const read = readRecord(root, id);
    return read !== undefined && 'problem' in read ? read : [];
  });

const idsIn = (root: string): string[] => namesIn(containersOf(root)).filter((name) => !name.startsWith('.'));

/** Undefined for a container that has just disappeared. */
function readRecord(root: string, id: string): ContainerRecord | DamagedRecord | undefined {
  try {
    const record = readJson(CONTAINER_RECORD, join(directoryOf(root, id), RECORD));
    if (record === undefined)
      return existsSync(directoryOf(root, id)) ? { id, problem: `"${RECORD}" is missing` } : undefined;
    return record.id === id ? record : { id, problem: `"${RECORD}" belongs to another container` };
  } catch (error) {
    if (error instanceof UsageError) return { id, problem: error.message };
    throw error;
  }
}

/** The container with an unreadable record whose ID has the prefix `text`. */
export function findDamaged(root: string, text: string): DamagedRecord | undefined {
  const [found, second] = text === '' ? [] : damagedRecords(root).filter(({ id }) => id.startsWith(text));
  return second === undefined ? found : undefined;
}

/** The container with a name, an ID, or an unambiguous ID prefix. Throws `UsageError`. */
export function findRecord(root: string, nameOrId: string): ContainerRecord {
  const found = searchRecord(root, nameOrId);
  if (found === undefined)
    throw new UsageError(`no container "${nameOrId}"; list containers with "tscr ps -a"`);
  return found;
}

/** The same, undefined if there is none. Throws `UsageError` if there are several. */
export function searchRecord(root: string, nameOrId: string): ContainerRecord | undefined {
  const records = listRecords(root);
  const exact = records.find(({ id, name }) => name === nameOrId || id === nameOrId);
  if (exact !== undefined) return exact;
  const [found, second] = nameOrId === '' ? [] : records.filter(({ id }) => id.startsWith(nameOrId));
  if (second !== undefined) throw new UsageError(`ambiguous container ID "${nameOrId}"; use more digits`);
  return found;
}

export function statusOf(root: string, { id, node }: ContainerRecord): Status {
  const exit = exitOf(root, id);
  if (exit !== undefined) return { is: 'exited', ...exit };
  if (node.machine !== thisNode().machine) return { is: 'elsewhere' };
  const pid = lockOwnerOf(id)?.pid;
  return pid === undefined ? { is: 'created' } : { is: 'running', pid };
}

/** The first process of a container that is running on this node; undefined otherwise. */
export function runningProcess(root: string, record: ContainerRecord): number | undefined {
  const status = statusOf(root, record);
  if (status.is !== 'running') return undefined;
  return isLocked(record.id) ? status.pid : undefined; // a killed supervisor has no lock
}

/** Stopped containers whose exit record cannot be read. */
export const damagedEnds = (root: string): { name: string; id: string; problem: string }[] =>
  listRecords(root).flatMap(({ id, name }) => {
    try {
      readJson(EXIT_RECORD, join(directoryOf(root, id), EXIT));
      return [];
    } catch (error) {
      if (error instanceof UsageError) return [{ id, name, problem: error.message }];
      throw error;
    }
  });

/** The exit of a stopped container; with code 125 if the record cannot be read. */
function exitOf(root: string, id: string): Exit | undefined {
  try {
    return readJson(EXIT_RECORD, join(directoryOf(root, id), EXIT));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return { exitCode: UNKNOWN, finished: '' };
  }
}

// --- changing

/**
 * Creates a container's lease, and its directory with its record in it. The caller has locked the store in which the image was
 * found, and the container. Throws `UsageError` if the name is already used.
 */
export function createContainer(root: string, record: ContainerRecord): void {
  const fresh = directoryOf(root, `.${record.id}`);
  try {
    writeLease(root, leaseOf(record));
    mkdirSync(fresh, { recursive: true, mode: PRIVATE });
    writeJson(join(fresh, RECORD), record);
    reserveJson(join(fresh, EXIT), EXIT_BYTES);
    showContainer(root, record, fresh);
  } catch (error) {
    removeRest(root, record.id);
    throw error;
  }
}

function showContainer(root: string, record: ContainerRecord, fresh: string): void {
  const lock = openSync(containersOf(root), 'r');
  try {
    flock(lock, LOCK.EX);
    const taken = listRecords(root).find(({ name }) => name === record.name);
    if (taken !== undefined) {
      throw new UsageError(
        `the name "${record.name}" is already used by container ${shortId(taken.id)}; remove it with "tscr rm ${record.name}"`,
      );
    }
    renameSync(fresh, directoryOf(root, record.id));
  } finally {
    close(lock);
  }
}

/** Records the exit of a locked container, or removes the container if it was started with --rm. */
export function endContainer(root: string, { id, autoRemove }: ContainerRecord, exitCode: number): void {
  if (autoRemove) {
    removeContainer(root, id);
    return;
  }
  const exit: Exit = { exitCode, finished: new Date().toISOString() };
  writeReservedJson(join(directoryOf(root, id), EXIT), exit);
}

/** Removes a locked container with all its files. */
export function removeContainer(root: string, id: string): void {
  requireWritable(root);
  renameSync(directoryOf(root, id), directoryOf(root, `.${id}`));
  removeRest(root, id);
}

/** What is left of a container that nobody sees any more, or not yet; its lease goes last. */
function removeRest(root: string, id: string): void {
  if (existsSync(directoryOf(root, `.${id}`))) {
    const fd = openSync(containersOf(root), 'r');
    try {
      removeTree(fd, `.${id}`);
    } finally {
      close(fd);
    }
  }
  removeLease(root, holderOfContainer(id));
}

/** Cleans up after killed commands of this node, in all stores. */
export function clearLeftovers(root: string): void {
  for (const { id, root: itsRoot } of lockOwners()) endAbandoned(itsRoot, id);
  if (!isWritable(root)) return; // another user's, or read-only
  const here = thisNode();
  for (const record of listRecords(root)) {
    const { machine, boot } = record.node;
    const isOld = machine === here.machine && boot !== here.boot; // no lock survives a reboot
    if (isOld && exitOf(root, record.id) === undefined) endAbandoned(root, record.id);
  }
}

/** Records the exit of a container whose supervisor was killed, and removes what is left of one that is gone. */
export function endAbandoned(root: string, id: string): void {
  const lock = ContainerLock.take(root, id);
  if (lock === undefined) return;
  try {
    if (!existsSync(directoryOf(root, id))) removeRest(root, id);
    const record = readRecord(root, id);
    if (record !== undefined && !('problem' in record) && exitOf(root, id) === undefined)
      endContainer(root, record, lockOwnerOf(id)?.exitCode ?? KILLED);
  } finally {
    lock.release();
  }
}

const namesIn = (directory: string): string[] => (existsSync(directory) ? readdirSync(directory) : []);
