/**
 * Whether two directories hold the same tree: names, kinds, owners, modes, times, attributes, data, and how many names
 * a file has.
 *
 * Rules: everything is compared as it lies on the disk, with the union's own attributes and marks, unlike what a union
 * shows of it (`fs/union/offline/difference.ts`). What lies in a directory is told before what that has to do with it
 * (its time). Trees are walked as everywhere (`fs/sys/descent.ts`), of any depth; symlinks are compared and never followed.
 * What a security module or the kernel keeps for itself (labels, access and change times) may differ.
 */

import { below, pathOf, type Trail } from '../../../fs/layers.js';
import { hasSameData } from '../../../fs/offline.js';
import { AT, O } from '../../../fs/sys/constants.js';
import { Descent } from '../../../fs/sys/descent.js';
import { toBytes } from '../../../fs/sys/path-bytes.js';
import { isDirectory, isRegular, isSymlink, type Stat } from '../../../fs/sys/stat.js';
import {
  close,
  fstat,
  getxattrat,
  listxattrat,
  openat,
  readlinkat,
  statat,
} from '../../../fs/sys/syscalls.js';
import { quote } from '../tar/names.js';

const LABEL = 'security.selinux';
const DIRECTORY = O.RDONLY | O.DIRECTORY | O.NOFOLLOW;

/** The first difference, for people; undefined if there is none. */
export function treeDifference(a: string, b: string): string | undefined {
  return withDescriptors([openTree(a), openTree(b)], (fdA, fdB) => {
    const trees = new TreePair(fdA, fdB);
    try {
      return trees.difference();
    } finally {
      trees.close();
    }
  });
}

const openTree = (path: string): number => openat(AT.FDCWD, toBytes(path), DIRECTORY);

function withDescriptors<T>([a, b]: [number, number], use: (a: number, b: number) => T): T {
  try {
    return use(a, b);
  } finally {
    close(a);
    close(b);
  }
}

/** A directory on the way, whose entries are being compared. */
interface Level {
  /** Undefined in the root. */
  readonly trail: Trail | undefined;
  readonly names: readonly string[];
  next: number;
}

class TreePair {
  readonly #a: Descent;
  readonly #b: Descent;

  /** @param a an open directory, as `b`; they stay the caller's */
  constructor(a: number, b: number) {
    this.#a = new Descent(a);
    this.#b = new Descent(b);
  }

  close(): void {
    this.#a.close();
    this.#b.close();
  }

  difference(): string | undefined {
    const way: Level[] = [];
    let found = this.#begin(way, undefined);
    for (let level = way.at(-1); found === undefined && level !== undefined; level = way.at(-1)) {
      const name = level.names[level.next++];
      found = name === undefined ? this.#end(way) : this.#entry(way, below(level.trail, name));
    }
    return found;
  }

  /** Compares the names of two directories that were entered. */
  #begin(way: Level[], trail: Trail | undefined): string | undefined {
    const [inA, inB] = [this.#a.names(), this.#b.names()];
    way.push({ trail, names: inA, next: 0 });
    const [setA, setB] = [new Set(inA), new Set(inB)];
    const missing = inA.find((name) => !setB.has(name));
    if (missing !== undefined) return `${quote(pathOf(below(trail, missing)))} is missing`;
    const more = inB.find((name) => !setA.has(name));
    return more === undefined ? undefined : `${quote(pathOf(below(trail, more)))} is unexpected`;
  }

  #entry(way: Level[], trail: Trail): string | undefined {
    const { name } = trail;
    const [a, b] = [this.#a.fd, this.#b.fd];
    const [statA, statB] = [statat(a, name), statat(b, name)];
    if (statA === undefined || statB === undefined) return `${quote(pathOf(trail))} is missing`;
    if (isDirectory(statA.mode) && isDirectory(statB.mode)) {
      this.#a.enter(name);
      this.#b.enter(name);
      return this.#begin(way, trail);
    }
    const aspect = attributeDifference(a, b, name, statA, statB) ?? contentDifference(a, b, name, statA);
    return aspect && `${quote(pathOf(trail))} has a different ${aspect}`;
  }

  /** Compares two directories whose contents are the same. */
  #end(way: Level[]): string | undefined {
    const trail = way.pop()?.trail;
    const [a, b] = [this.#a.fd, this.#b.fd];
    const aspect = attributeDifference(a, b, '', fstat(a), fstat(b));
    if (trail === undefined) return aspect && `the root has a different ${aspect}`;
    this.#a.leave();
    this.#b.leave();
    return aspect && `${quote(pathOf(trail))} has a different ${aspect}`;
  }
}

function attributeDifference(
  a: number,
  b: number,
  name: string,
  statA: Stat,
  statB: Stat,
): string | undefined {
  const isNode = !isDirectory(statA.mode);
  const aspects: readonly [string, boolean][] = [
    ['kind or mode', statA.mode === statB.mode],
    ['owner', statA.uid === statB.uid && statA.gid === statB.gid],
    ['size', !isNode || statA.size === statB.size],
    ['number of names', !isNode || statA.nlink === statB.nlink],
    ['device number', statA.rdevMajor === statB.rdevMajor && statA.rdevMinor === statB.rdevMinor],
    [
      'time',
      statA.mtime.seconds === statB.mtime.seconds && statA.mtime.nanoseconds === statB.mtime.nanoseconds,
    ],
  ];
  const found = aspects.find(([, isSame]) => !isSame)?.[0];
  return found ?? (sameXattrs(a, b, name) ? undefined : 'attribute');
}

function sameXattrs(a: number, b: number, name: string): boolean {
  const attributes = (fd: number): string[] =>
    listxattrat(fd, name)
      .filter((one) => one !== LABEL)
      .sort();
  const [inA, inB] = [attributes(a), attributes(b)];
  if (inA.length !== inB.length) return false;
  return inA.every((attribute, at) => {
    if (attribute !== inB[at]) return false;
    const value = Buffer.from(getxattrat(a, name, attribute) ?? '');
    return value.equals(getxattrat(b, name, attribute) ?? Buffer.alloc(0));
  });
}

function contentDifference(a: number, b: number, name: string, stat: Stat): string | undefined {
  if (isSymlink(stat.mode)) return readlinkat(a, name) === readlinkat(b, name) ? undefined : 'target';
  if (!isRegular(stat.mode)) return undefined;
  const open = (dirfd: number): number => openat(dirfd, name, O.RDONLY | O.NOFOLLOW | O.NONBLOCK);
  return withDescriptors([open(a), open(b)], hasSameData) ? undefined : 'content';
}
