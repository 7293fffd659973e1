/**
 * The directory in which a writer builds files before it renames them: `tmp/MACHINE+BOOT+PID+RANDOM/` in the store.
 *
 * Rules: a writer locks its workspace as long as it lives; an unlocked workspace belongs to a dead writer, and the next
 * writer of the same node removes it. Workspaces of other nodes are never removed, because locks may not work between
 * nodes that share a home directory.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { removeTree } from '../../../fs/layers.js';
import { AT, O, RENAME } from '../../../fs/sys/constants.js';
import { withPath } from '../../../fs/sys/errno.js';
import { toBytes } from '../../../fs/sys/path-bytes.js';
import { close, openat, renameat2 } from '../../../fs/sys/syscalls.js';
import { thisNode } from '../../host/node.js';
import { tryLock } from './lock.js';

const PRIVATE_DIRECTORY = 0o700;
const PRIVATE_FILE = 0o600;
const RANDOM_BYTES = 6;
const LOCK_FILE = 'lock';
const SEPARATOR = '+';

const machinePrefix = (): string => encodeURIComponent(thisNode().machine) + SEPARATOR;

export class Workspace {
  readonly #directory: string;
  readonly #lock: number;
  #next = 0;

  private constructor(directory: string, lock: number) {
    this.#directory = directory;
    this.#lock = lock;
  }

  /** Makes a workspace below `parent`. The caller holds the lock under which all workspaces are made and cleared. */
  static make(parent: string): Workspace {
    const unique = randomBytes(RANDOM_BYTES).toString('hex');
    const directory = join(parent, machinePrefix() + [thisNode().boot, process.pid, unique].join(SEPARATOR));
    mkdirSync(directory, { mode: PRIVATE_DIRECTORY });
    const lock = tryLock(join(directory, LOCK_FILE));
    if (lock === undefined) throw new Error(`"${directory}" is locked by another process`);
    return new Workspace(directory, lock);
  }

  /** A new path in the workspace. */
  path(): string {
    return join(this.#directory, String(this.#next++));
  }

  close(): void {
    removePath(this.#directory);
    closeSync(this.#lock);
  }
}

/** Replaces a small file atomically and durably. The caller has the lock that protects the file. */
export function installFile(target: string, content: string | Buffer): void {
  const fresh = `${target}.new`;
  rmSync(fresh, { force: true });
  const fd = openSync(fresh, 'wx', PRIVATE_FILE);
  try {
    writeFileSync(fd, content);
    fsyncSync(fd);
  } catch (error) {
    rmSync(fresh, { force: true }); // a part of it would take space
    throw withPath(target, error);
  } finally {
    closeSync(fd);
  }
  renameSync(fresh, target);
  syncDirectory(dirname(target));
}

/** Removes the workspaces of this node's dead writers. The caller holds the lock as in `Workspace.make`. */
export function clearDeadWorkspaces(parent: string): void {
  for (const name of readdirSync(parent)) {
    if (!name.startsWith(machinePrefix())) continue;
    const lock = tryLock(join(parent, name, LOCK_FILE));
    if (lock === undefined) continue;
    removePath(join(parent, name));
    closeSync(lock);
  }
}

/** Exchanges two files or trees atomically. */
export const exchange = (a: string, b: string): void =>
  renameat2(AT.FDCWD, toBytes(a), AT.FDCWD, toBytes(b), RENAME.EXCHANGE);

/** Removes a file or a tree with any names and modes; a missing one is not an error. */
export function removePath(path: string): void {
  const parent = openat(AT.FDCWD, toBytes(dirname(path)), O.RDONLY | O.DIRECTORY);
  try {
    removeTree(parent, toBytes(basename(path)));
  } finally {
    close(parent);
  }
}

/** Makes the names of a directory durable. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
