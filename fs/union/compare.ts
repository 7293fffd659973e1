/**
 * What has changed in a plain copy of a union (`flatten.ts`) since it was made: for hosts where nothing can be mounted.
 *
 * Rules: an inode that has not changed since then is as it was. Another is compared in full, data included, since a
 * program can set times back. A directory counts as changed when anything below it does, as a union would have copied
 * it up. Descriptors are followed, never paths. Compare collectFileInfoForChanges in moby's pkg/archive.
 */
import { O } from '../sys/constants.js';
import { isDirectory, isRegular, isSymlink, type Stat, type Time } from '../sys/stat.js';
import {
  close,
  fstat,
  getxattrat,
  listxattrat,
  openat,
  pread,
  readDirectory,
  statat,
} from '../sys/syscalls.js';
import type { Change } from './diff.js';
import { openData } from './layer.js';
import { find } from './lookup.js';
import { DirectoryNode, type Node } from './node.js';
import { linkTarget, type Place, recorded, treeOverrideAt } from './owners.js';
import type { OverrideXattr } from './ownership.js';
import { layerOf, locate, recordedOf } from './place.js';
import { listingOf } from './readdir.js';
import type { Union } from './state.js';
import { unescapeXattr } from './xattr.js';

/** Where a change is: a name in an open directory, whose descriptor is closed after the next step; of what is gone, the directory's stat. */
export interface Difference extends Change {
  readonly dirfd: number;
  readonly name: string;
  /** As the copy records it (`owners.ts`). */
  readonly stat: Stat;
}

const CHUNK = 256 * 1024;

/**
 * The changes in path order, a directory before its contents.
 * @param copy an open descriptor of the copy
 * @param lower a view of what was copied
 * @param copied the inode change time that the filesystem gave when the copy was complete
 */
export function compare(copy: number, lower: Union, copied: Time): Generator<Difference> {
  return new Comparison(lower, copied, treeOverrideAt(copy)).directory(copy, lower.root, '');
}

class Comparison {
  readonly #lower: Union;
  readonly #copied: Time;
  /** How the copy keeps owners. */
  readonly #override: OverrideXattr | undefined;
  readonly #ours = Buffer.alloc(CHUNK);
  readonly #theirs = Buffer.alloc(CHUNK);

  constructor(lower: Union, copied: Time, override: OverrideXattr | undefined) {
    this.#lower = lower;
    this.#copied = copied;
    this.#override = override;
  }

  *directory(dirfd: number, under: DirectoryNode | undefined, path: string): Generator<Difference> {
    for (const name of this.#names(dirfd, under)) {
      const inode = statat(dirfd, name);
      const where = `${path}/${name}`;
      if (inode !== undefined) {
        const stat = recorded(this.#override, { dirfd, name }, inode);
        yield* this.#entry(dirfd, name, stat, under, where);
      } else if (this.#find(under, name) !== undefined)
        yield { kind: 'D', path: where, dirfd, name, stat: fstat(dirfd) };
    }
  }

  #names(dirfd: number, under: DirectoryNode | undefined): string[] {
    const held = readDirectory(dirfd).map(({ name }) => name);
    const copied = under === undefined ? [] : [...listingOf(this.#lower, under).names()];
    return [...new Set([...held, ...copied.map(({ name }) => name)])].sort();
  }

  #find(under: DirectoryNode | undefined, name: string) {
    return under === undefined ? undefined : find(this.#lower, under, name);
  }

  *#entry(
    dirfd: number,
    name: string,
    stat: Stat,
    under: DirectoryNode | undefined,
    path: string,
  ): Generator<Difference> {
    const covered = this.#find(under, name);
    const hasChanged = covered === undefined || this.#differs(dirfd, name, stat, covered.node, covered.stat);
    const own: Difference = { kind: covered === undefined ? 'A' : 'C', path, dirfd, name, stat };
    if (hasChanged) yield own;
    const below = covered?.node instanceof DirectoryNode ? covered.node : undefined;
    if (isDirectory(stat.mode)) yield* this.#inside(own, hasChanged, below);
    if (covered !== undefined) this.#lower.drop(covered.node);
  }

  /** What a directory holds; before the first change there, itself, unless that is told already. */
  *#inside(own: Difference, isTold: boolean, under: DirectoryNode | undefined): Generator<Difference> {
    const fd = openat(own.dirfd, own.name, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
    try {
      let told = isTold;
      for (const inner of this.directory(fd, under, own.path)) {
        if (!told) yield own;
        told = true;
        yield inner;
      }
    } finally {
      close(fd);
    }
  }

  #differs(dirfd: number, name: string, stat: Stat, node: Node, inode: Stat): boolean {
    if (isBefore(stat.ctime, this.#copied)) return false;
    const was = recordedOf(this.#lower, node, inode);
    if (stat.mode !== was.mode || stat.uid !== was.uid || stat.gid !== was.gid) return true;
    if (!isSame(stat.mtime, was.mtime)) return true;
    const place = locate(this.#lower, node);
    if (!this.#sameXattrs({ dirfd, name }, place, layerOf(node).override)) return true;
    if (isDirectory(stat.mode)) return false;
    if (isSymlink(stat.mode)) return linkTarget({ dirfd, name }) !== linkTarget(place);
    if (isRegular(stat.mode)) return stat.size !== was.size || !this.#sameData(dirfd, name, node);
    return stat.rdevMajor !== was.rdevMajor || stat.rdevMinor !== was.rdevMinor;
  }

  #sameXattrs(copy: Place, layer: Place, override: OverrideXattr | undefined): boolean {
    const held = shownXattrs(copy, (attribute) =>
      this.#override === undefined ? attribute : unescapeXattr(attribute, this.#override),
    );
    const wanted = shownXattrs(layer, (attribute) => unescapeXattr(attribute, override));
    return (
      held.size === wanted.size &&
      [...held].every(([attribute, value]) => wanted.get(attribute)?.equals(value) === true)
    );
  }

  #sameData(dirfd: number, name: string, node: Node): boolean {
    if (node instanceof DirectoryNode) return false;
    const { directory, name: from } = node.home;
    const theirs = openData(directory, this.#lower.handles.directory(directory), from, O.RDONLY);
    const ours = openat(dirfd, name, O.RDONLY | O.NOFOLLOW);
    try {
      return this.#sameBytes(ours, theirs);
    } finally {
      close(ours);
      close(theirs);
    }
  }

  #sameBytes(ours: number, theirs: number): boolean {
    for (let offset = 0; ; ) {
      const count = pread(ours, this.#ours, CHUNK, offset);
      const others = pread(theirs, this.#theirs, CHUNK, offset);
      const length = Math.min(count, others);
      if (this.#ours.compare(this.#theirs, 0, length, 0, length) !== 0) return false;
      if (length === 0) return count === others;
      offset += length;
    }
  }
}

const isSame = (a: Time, b: Time): boolean => a.seconds === b.seconds && a.nanoseconds === b.nanoseconds;

const isBefore = (a: Time, b: Time): boolean =>
  a.seconds < b.seconds || (a.seconds === b.seconds && a.nanoseconds < b.nanoseconds);

/** Attributes by the names that users see. */
function shownXattrs(
  { dirfd, name }: Place,
  shown: (attribute: string) => string | undefined,
): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (const attribute of listxattrat(dirfd, name)) {
    const seen = shown(attribute);
    const value = seen === undefined ? undefined : getxattrat(dirfd, name, attribute);
    if (seen !== undefined && value !== undefined) found.set(seen, Buffer.from(value));
  }
  return found;
}
