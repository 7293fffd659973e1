/**
 * Traverses a tree of any depth and width with few descriptors and little memory.
 *
 * Rules: every step is one component from an open directory, so no path is too long and no symlink is followed. Only
 * the innermost directories are open; a closed one is opened again as ".." of its child and must be the same
 * inode, since a concurrent rename could lead out of the tree. Entries come a buffer at a time. Compare
 * fts_read and fts_safe_changedir in gnulib's fts.c.
 */
import { O } from './constants.js';
import { E, Errno } from './errno.js';
import type { U64 } from './stat.js';
import {
  close,
  type DirectoryEntry,
  fstat,
  openat,
  readDirectory,
  readEntries,
  seekDirectory,
  tellDirectory,
} from './syscalls.js';

const DIRECTORY = O.RDONLY | O.DIRECTORY | O.NOFOLLOW;
/** Maximum number of open directories, without the root. */
const MOST_OPEN = 64;
const CLOSED = -1;

interface Level {
  /** CLOSED while only deeper ones are used. */
  fd: number;
  readonly dev: number;
  readonly ino: U64;
  /** Entries that were read and not returned yet, and the index of the first. */
  entries: DirectoryEntry[];
  next: number;
  /** Of a closed directory, where its reading goes on. */
  position: U64;
}

const levelOf = (fd: number): Level => {
  const { dev, ino } = fstat(fd);
  return { fd, dev, ino, entries: [], next: 0, position: 0 };
};

export class Descent {
  readonly #levels: Level[];
  /** How many of the outermost directories below the root are closed. */
  #closed = 0;

  /** @param root an open directory, which the caller closes */
  constructor(root: number) {
    this.#levels = [levelOf(root)];
  }

  get #level(): Level {
    return this.#levels.at(-1) as Level;
  }

  /** The present directory. */
  get fd(): number {
    return this.#level.fd;
  }

  /** The filesystem it lies on (Stat.dev). */
  get dev(): number {
    return this.#level.dev;
  }

  /** 0 in the root. */
  get depth(): number {
    return this.#levels.length - 1;
  }

  /** The next entry of the present directory, in the filesystem's order; undefined at its end. */
  next(): DirectoryEntry | undefined {
    const level = this.#level;
    while (level.next === level.entries.length) {
      level.entries = [];
      level.next = 0;
      if (!readEntries(level.fd, level.entries)) return undefined;
    }
    return level.entries[level.next++];
  }

  /** The names of the present directory, sorted by their bytes. */
  names(): string[] {
    return sortedNames(this.fd);
  }

  /** Enters a subdirectory. */
  enter(name: string): void {
    this.#levels.push(levelOf(openat(this.fd, name, DIRECTORY)));
    if (this.depth - this.#closed <= MOST_OPEN) return;
    this.#closed += 1;
    const outermost = this.#levels[this.#closed] as Level;
    outermost.position = tellDirectory(outermost.fd);
    close(outermost.fd);
    outermost.fd = CLOSED;
  }

  /** Returns to the parent. Throws Errno ESTALE if the directory was moved. */
  leave(): void {
    const left = this.#levels.pop() as Level;
    try {
      if (this.#level.fd === CLOSED) this.#reopen(left.fd);
    } finally {
      close(left.fd);
    }
  }

  #reopen(below: number): void {
    const level = this.#level;
    const fd = openat(below, '..', DIRECTORY);
    const { dev, ino } = fstat(fd);
    if (dev !== level.dev || ino !== level.ino) {
      close(fd);
      throw new Errno(E.ESTALE, '..');
    }
    seekDirectory(fd, level.position);
    level.fd = fd;
    this.#closed -= 1;
  }

  /** Closes what it opened. */
  close(): void {
    for (const { fd } of this.#levels.splice(1)) if (fd !== CLOSED) close(fd);
  }
}

export const sortedNames = (fd: number): string[] =>
  readDirectory(fd)
    .map(({ name }) => name)
    .sort();
