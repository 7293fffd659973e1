/**
 * A control group of a container, in one hierarchy.
 *
 * Rules: it is a child of this process's own group, whose limits apply, unless the specification names a path. The
 * creator locks its directory; an unlocked group of ours belongs to a command that was killed, and the next command
 * removes it. If the locked directory has been removed meanwhile, it is created again. Compare flock(2), `container-lock.ts`.
 */
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { LOCK } from '../../../fs/sys/constants.js';
import { flock } from '../../../fs/sys/syscalls.js';
import { textOf } from '../../host/text-of.js';
import type { Membership } from './membership.js';

const PREFIX = 'tscr-';
const DIRECTORY_MODE = 0o755;
/** How often removal is tried: a process leaves its group only shortly before its exit status can be read. */
const ATTEMPTS = 50;
const POLL_MS = 10;

export class Group {
  readonly directory: string;
  /** Open on the directory. */
  readonly fd: number;
  /** The outermost directory that was created. */
  readonly #outermost: string;

  /** Creates a group. Throws mkdir(2)'s error; EEXIST if another process uses it. */
  static make({ directory, top }: Membership, name: string, path?: string): Group {
    clearLeftoversIn(directory);
    const place =
      path === undefined
        ? join(directory, PREFIX + name)
        : join(path.startsWith('/') ? top : directory, path);
    for (;;) {
      const outermost = mkdirSync(place, { recursive: true, mode: DIRECTORY_MODE }) ?? place;
      const fd = openSync(place, 'r');
      if (!flock(fd, LOCK.EX | LOCK.NB) || textOf(join(place, 'cgroup.procs')) !== '') {
        closeSync(fd);
        throw Object.assign(new Error('the control group is in use'), { code: 'EEXIST' });
      }
      if (statSync(place, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino)
        return new Group(place, fd, outermost);
      closeSync(fd);
    }
  }

  private constructor(directory: string, fd: number, outermost: string) {
    this.directory = directory;
    this.fd = fd;
    this.#outermost = outermost;
  }

  write(file: string, value: string): void {
    writeFileSync(join(this.directory, file), value, { flag: 'r+' });
  }

  /** Moves a process into the group, unless it has ended. Takes long if the kernel synchronizes all CPUs. */
  async join(pid: number): Promise<void> {
    try {
      await writeFile(join(this.directory, 'cgroup.procs'), String(pid), { flag: 'r+' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') return;
      await this.remove();
      throw error;
    }
  }

  /** Removes the group after the container's processes have ended; a failure is left to the next command. */
  async remove(): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (this.#removeOnce()) break;
      await setTimeout(POLL_MS);
    }
    closeSync(this.fd);
  }

  #removeOnce(): boolean {
    let directory = this.directory;
    try {
      for (;;) {
        rmdirSync(directory);
        if (directory === this.#outermost) return true;
        directory = dirname(directory);
      }
    } catch (error) {
      return (error as NodeJS.ErrnoException).code !== 'EBUSY' || directory !== this.directory;
    }
  }
}

/** Removes groups of ours whose creators were killed; groups with processes stay. */
export function clearLeftoversIn(parent: string): void {
  for (const name of groupsIn(parent)) {
    try {
      const fd = openSync(join(parent, name), 'r');
      try {
        if (flock(fd, LOCK.EX | LOCK.NB)) rmdirSync(join(parent, name));
      } finally {
        closeSync(fd);
      }
    } catch {} // removed by another command, or in use
  }
}

function groupsIn(parent: string): string[] {
  try {
    return readdirSync(parent).filter((name) => name.startsWith(PREFIX));
  } catch {
    return [];
  }
}
