/**
 * The right to work on a container: a lock on this node.
 *
 * Rules: `RUN/ID.lock` is locked by the holder as long as it lives, and removed by it; `RUN/ID.json` says who that is.
 * A lock on a file that has lost its name counts for nothing, so it is taken again. Where there is no space left to say
 * who the holder is, nothing is said: the lock is what counts. Compare flock(2).
 */
import { fstatSync, openSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { absolutePath, count, type Output, optional, struct } from '../../../fs/input/schema.js';
import { LOCK } from '../../../fs/sys/constants.js';
import { close, flock } from '../../../fs/sys/syscalls.js';
import { isFull, tryReadJson, writeJson } from './json.js';
import { runtimeDirectory } from './node.js';
import { containerId } from './record.js';

const PRIVATE = 0o600;
const LOCK_SUFFIX = '.lock';

/** Who holds a container. */
export const HOLDER = struct({
  /** The store it is in. */
  root: absolutePath,
  id: containerId,
  supervisor: count,
  /** The container's first process, as this node numbers it. */
  pid: optional(count),
  /** How the container ended, where the store had no space to record it. */
  exitCode: optional(count),
});
export type Holder = Output<typeof HOLDER>;

const fileOf = (id: string, suffix: string): string => join(runtimeDirectory(), id + suffix);

/** Who holds a container, or held it when it was killed; undefined for one that has ended in order. */
export const holderOf = (id: string): Holder | undefined => tryReadJson(HOLDER, fileOf(id, '.json'));

/** Whether somebody works on a container at this moment. */
export function isHeld(id: string): boolean {
  const path = fileOf(id, LOCK_SUFFIX);
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return false;
  const fd = openSync(path, 'a', PRIVATE);
  try {
    return !flock(fd, LOCK.EX | LOCK.NB);
  } finally {
    close(fd);
  }
}

/** All holders, dead ones too. */
export function holders(): Holder[] {
  return readdirSync(runtimeDirectory())
    .filter((name) => name.endsWith(LOCK_SUFFIX))
    .flatMap((name) => holderOf(name.slice(0, -LOCK_SUFFIX.length)) ?? []);
}

export class Hold {
  readonly #fd: number;
  readonly #holder: Holder;

  /** Takes the lock; undefined if somebody has it. */
  static take(root: string, id: string): Hold | undefined {
    const path = fileOf(id, LOCK_SUFFIX);
    for (;;) {
      const fd = openSync(path, 'a', PRIVATE);
      if (!flock(fd, LOCK.EX | LOCK.NB)) {
        close(fd);
        return undefined;
      }
      if (statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino) {
        return new Hold(fd, { root, id, supervisor: process.pid });
      }
      close(fd);
    }
  }

  private constructor(fd: number, holder: Holder) {
    this.#fd = fd;
    this.#holder = holder;
    this.#tell(holder);
  }

  /** Tells everybody the container's first process. */
  started(pid: number): void {
    this.#tell({ ...this.#holder, pid });
  }

  #tell(holder: Holder): void {
    try {
      writeJson(fileOf(holder.id, '.json'), holder);
    } catch (error) {
      if (!isFull(error)) throw error;
    }
  }

  /** Leaves it to the next command to record that the container has ended. */
  leave(exitCode: number): void {
    this.#tell({ ...this.#holder, exitCode });
    close(this.#fd);
  }

  release(): void {
    const { id } = this.#holder;
    rmSync(fileOf(id, '.json'), { force: true });
    rmSync(fileOf(id, LOCK_SUFFIX), { force: true });
    close(this.#fd);
  }
}
