/**
 * Whether two directories hold the same tree: names, kinds, owners, modes, times, attributes, data, and how many names
 * a file has.
 *
 * Rule: what lies in a directory is told before what that has to do with it (its time). Everything is reached by descriptors, symlinks are compared and never followed. What a security module or the
 * kernel keeps for itself (labels, access and change times) may differ.
 */
import { AT, O } from '../../../fs/sys/constants.js';
import { toBytes } from '../../../fs/sys/path-bytes.js';
import { isDirectory, isRegular, isSymlink, type Stat } from '../../../fs/sys/stat.js';
import {
  close,
  fstat,
  getxattrat,
  listxattrat,
  openat,
  pread,
  readDirectory,
  readlinkat,
  statat,
} from '../../../fs/sys/syscalls.js';
import { quote } from '../tar/names.js';

const CHUNK = 256 * 1024;
const [ours, theirs] = [Buffer.allocUnsafe(CHUNK), Buffer.allocUnsafe(CHUNK)];
const LABEL = 'security.selinux';
const DIRECTORY = O.RDONLY | O.DIRECTORY | O.NOFOLLOW;

/** The first difference, for people; undefined if there is none. */
export function treeDifference(a: string, b: string): string | undefined {
  return withDescriptors([openTree(a), openTree(b)], (fdA, fdB) => {
    const inside = difference(fdA, fdB, '');
    if (inside !== undefined) return inside;
    const own = attributeDifference(fdA, fdB, '', fstat(fdA), fstat(fdB));
    return own && `the root has another ${own}`;
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

function difference(a: number, b: number, path: string): string | undefined {
  const [inA, inB] = [namesOf(a), namesOf(b)];
  for (const name of inA) if (!inB.has(name)) return `${quote(path + name)} is missing`;
  for (const name of inB) if (!inA.has(name)) return `${quote(path + name)} does not belong there`;
  for (const name of inA) {
    const found = entryDifference(a, b, name, path + name);
    if (found !== undefined) return found;
  }
  return undefined;
}

const namesOf = (fd: number): Set<string> =>
  new Set(
    readDirectory(fd)
      .map(({ name }) => name)
      .sort(),
  );

function entryDifference(a: number, b: number, name: string, path: string): string | undefined {
  const [statA, statB] = [statat(a, name), statat(b, name)];
  if (statA === undefined || statB === undefined) return `${quote(path)} is missing`;
  if (isDirectory(statA.mode) && isDirectory(statB.mode)) {
    const inside = withDescriptors([openat(a, name, DIRECTORY), openat(b, name, DIRECTORY)], (fdA, fdB) =>
      difference(fdA, fdB, `${path}/`),
    );
    if (inside !== undefined) return inside;
  }
  const aspect = attributeDifference(a, b, name, statA, statB) ?? contentDifference(a, b, name, statA);
  return aspect && `${quote(path)} has another ${aspect}`;
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
  return withDescriptors([open(a), open(b)], sameData) ? undefined : 'content';
}

function sameData(a: number, b: number): boolean {
  for (let offset = 0; ; ) {
    const count = pread(a, ours, CHUNK, offset);
    if (pread(b, theirs, CHUNK, offset) !== count) return false;
    if (count === 0) return true;
    if (ours.compare(theirs, 0, count, 0, count) !== 0) return false;
    offset += count;
  }
}
