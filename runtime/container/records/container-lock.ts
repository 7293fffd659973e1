/**
 * The lock of a container on this node: only its owner changes the container.
 *
 * Rules: the owner keeps `RUN/ID.lock` locked as long as it lives, and then removes it; `RUN/ID.json` names the owner. If
 * the locked file has been removed meanwhile, the lock is taken again on a new file. If the disk is full, `RUN/ID.json`
 * is not written; the lock alone decides. Compare flock(2).
 */
import { fstatSync, openSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isFull, tryReadJson, writeJson } from '../../../fs/input/json-file.js';
import { absolutePath, count, type Output, optional, struct } from '../../../fs/input/schema.js';
import { LOCK } from '../../../fs/sys/constants.js';
import { close, flock } from '../../../fs/sys/syscalls.js';
import { runtimeDirectory } from '../../host/node.js';
import { containerId } from './record.js';

const PRIVATE = 0o600;
const LOCK_SUFFIX = '.lock';

/** The process that has locked a container. */
export const LOCK_OWNER = struct({
  /** The store it is in. */
  root: absolutePath,
  id: containerId,
  supervisor: count,
  /** Pid of the container's first process on this node. */
  pid: optional(count),
  /** The exit code, if the store had no space to record it. */
  exitCode: optional(count),
});
export type LockOwner = Output<typeof LOCK_OWNER>;

const fileOf = (id: string, suffix: string): string => join(runtimeDirectory(), id + suffix);

/** The owner of a container's lock, or the last one if it was killed; undefined after a regular exit. */
export const lockOwnerOf = (id: string): LockOwner | undefined =>
  tryReadJson(LOCK_OWNER, fileOf(id, '.json'));

/** Whether a live process has locked a container. */
export function isLocked(id: string): boolean {
  const path = fileOf(id, LOCK_SUFFIX);
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return false;
  const fd = openSync(path, 'a', PRIVATE);
  try {
    return !flock(fd, LOCK.EX | LOCK.NB);
  } finally {
    close(fd);
  }
}

/** All owners of locks, including dead ones. */
export function lockOwners(): LockOwner[] {
  return readdirSync(runtimeDirectory())
    .filter((name) => name.endsWith(LOCK_SUFFIX))
    .flatMap((name) => lockOwnerOf(name.slice(0, -LOCK_SUFFIX.length)) ?? []);
}

export class ContainerLock {
  readonly #fd: number;
  readonly #owner: LockOwner;

  /** Takes the lock; undefined if another process has it. */
  static take(root: string, id: string): ContainerLock | undefined {
    const path = fileOf(id, LOCK_SUFFIX);
    for (;;) {
      const fd = openSync(path, 'a', PRIVATE);
      if (!flock(fd, LOCK.EX | LOCK.NB)) {
        close(fd);
        return undefined;
      }
      if (statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino) {
        return new ContainerLock(fd, { root, id, supervisor: process.pid });
      }
      close(fd);
    }
  }

  private constructor(fd: number, owner: LockOwner) {
    this.#fd = fd;
    this.#owner = owner;
    this.#tell(owner);
  }

  /** Records the pid of the container's first process. */
  started(pid: number): void {
    this.#tell({ ...this.#owner, pid });
  }

  #tell(owner: LockOwner): void {
    try {
      writeJson(fileOf(owner.id, '.json'), owner);
    } catch (error) {
      if (!isFull(error)) throw error;
    }
  }

  /** Releases the lock with the exit code, which the next command records in the store. */
  leave(exitCode: number): void {
    this.#tell({ ...this.#owner, exitCode });
    close(this.#fd);
  }

  release(): void {
    const { id } = this.#owner;
    rmSync(fileOf(id, '.json'), { force: true });
    rmSync(fileOf(id, LOCK_SUFFIX), { force: true });
    close(this.#fd);
  }
}
