/**
 * What has changed between a tree and what it was made upon: for `diff` and `commit`, whatever driver made it.
 *
 * Rules:
 * - The answer depends on what both trees show and on nothing else, so every driver gives the same. A name has changed
 *   when its kind, owner, mode, time, attributes or data have; a directory also when anything below it did, as a union
 *   would have copied it up. Access times do not count.
 * - Names of one inode belong together: if one has changed, or if they are other names than before, all are told. An inode
 *   whose names are as many inodes now keeps the names of the first.
 * - A union's upper tells where to look. Everything is looked at where that is not enough: below what is opaque or was
 *   moved here, and, for names that share an inode, everywhere.
 * - In a plain copy an inode that has not changed since then is as it was, unless a directory above it may have been
 *   moved. Another is compared in full, data included, since a program can set times back.
 *
 * Compare collectFileInfoForChanges in moby's pkg/archive and ovl_get_nlink in fs/overlayfs.
 */
import { isDirectory, isRegular, isSymlink, type Stat, type Time } from '../../sys/stat.js';
import { close } from '../../sys/syscalls.js';
import { below, pathOf, type Trail } from '../layers/trail.js';
import { linkTarget } from '../owners/stored-owners.js';
import { hasSameData } from './same-data.js';
import { attributesOf, PlainTree, SameDirectories, type TreeEntry, UnionTree } from './trees.js';
import type { ViewedStack } from './view.js';

/** A stack whose upper contains the changes, or a plain copy of the lower layers. */
export interface ChangedStack extends ViewedStack {
  readonly upper: string;
  /** The inode change time that the filesystem gave when the copy was complete (`flatten.ts`); undefined for no copy. */
  readonly copied?: Time | undefined;
}

/** A was added, C has changed, D was deleted. */
export type Kind = 'A' | 'C' | 'D';

export interface Change {
  readonly kind: Kind;
  /** From the root, one character per byte. */
  readonly path: string;
}

/** A change, with what may be read until the next one is asked for. */
export interface Difference {
  readonly kind: Kind;
  readonly trail: Trail;
  /** What the tree shows; of what was deleted, the directory that held it. */
  readonly entry: TreeEntry;
  /** Of a directory, whose entry may be left by now. */
  readonly attributes: ReadonlyMap<string, Buffer> | undefined;
}

/** One name in both trees, or in one. */
interface Visit {
  readonly trail: Trail;
  /** The directory that holds it. */
  readonly parent: Level;
  readonly here: TreeEntry | undefined;
  readonly was: TreeEntry | undefined;
}

/** A directory that is being visited. */
interface Level {
  readonly trail: Trail | undefined;
  readonly here: TreeEntry;
  /** The lower tree has it, too. */
  readonly hasLower: boolean;
  /** It shows what the lower one does wherever upper holds nothing. */
  readonly merges: boolean;
  /** A directory above what it holds may have been moved here since the copy was made. */
  readonly mayBeMoved: boolean;
  readonly names: readonly string[];
  next: number;
}

/** The changes, in the order of paths, a directory before its contents. */
export function* changes(stack: ChangedStack): Generator<Change> {
  const comparison = new Comparison(stack);
  try {
    for (const { kind, trail } of comparison.differences()) yield { kind, path: `/${pathOf(trail)}` };
  } finally {
    comparison.close();
  }
}

export class Comparison {
  readonly #tree: UnionTree | PlainTree;
  /** Undefined where there are no lower layers. */
  readonly #lower: UnionTree | undefined;
  readonly #copied: Time | undefined;
  readonly #same = new SameDirectories();
  /** Upper's names are not enough. */
  #isFull: boolean;

  /** To be closed. Throws Errno if a layer cannot be opened. */
  constructor(stack: ChangedStack) {
    const { upper, lowers, copied } = stack;
    this.#tree = copied === undefined ? new UnionTree(stack) : new PlainTree(upper);
    this.#copied = copied;
    try {
      this.#lower = lowers.length === 0 ? undefined : new UnionTree({ lowers });
      this.#isFull = this.#tree instanceof PlainTree || this.#tree.hasLinksElsewhere;
    } catch (error) {
      this.#tree.close();
      throw error;
    }
  }

  close(): void {
    this.#tree.close();
    this.#lower?.close();
  }

  get root(): TreeEntry {
    return this.#tree.root;
  }

  *differences(): Generator<Difference> {
    const links = this.#survey();
    /** The directories on the way that have not been told. */
    const untold: Difference[] = [];
    for (const visit of this.#visits()) {
      while ((untold.at(-1)?.trail.depth ?? 0) >= visit.trail.depth) untold.pop();
      const difference = this.#difference(visit, links);
      if (difference !== undefined) {
        yield* untold.splice(0);
        yield difference;
      } else if (visit.here !== undefined && isDirectory(visit.here.stat.mode)) {
        untold.push(told('C', visit.trail, visit.here));
      }
    }
  }

  #difference({ trail, parent, here, was }: Visit, links: Links): Difference | undefined {
    if (here === undefined) return was && told('D', trail, parent.here);
    const stays = links.stays(here, was) ?? (was !== undefined && this.#isAsBefore(here, was, parent));
    return stays ? undefined : told(was === undefined ? 'A' : 'C', trail, here);
  }

  /** What names share inodes, and which of them have to be told for that. */
  #survey(): Links {
    for (;;) {
      const links = new Links();
      if (this.#addLinks(links)) return links;
      this.#isFull = true;
    }
  }

  /** False as soon as names that upper does not hold may belong to the same inode. */
  #addLinks(links: Links): boolean {
    for (const { parent, here, was } of this.#visits()) {
      if (here === undefined || !hasLinks(here, was)) continue;
      const isAsBefore = was !== undefined && this.#isAsBefore(here, was, parent);
      links.add(here, isAsBefore ? was : undefined);
      const isReplaced = isAsBefore && !isSameInode(here.inode, was.inode);
      if (!this.#isFull && (isReplaced || (!isAsBefore && here.isShared))) return false;
    }
    return true;
  }

  /** Both trees' names, the lower tree's only where they matter. */
  *#visits(): Generator<Visit> {
    const levels = [this.#level(undefined, this.#tree.root, undefined, this.#lower !== undefined)];
    try {
      for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
        const name = level.names[level.next++];
        if (name === undefined) {
          this.#leave(levels);
          continue;
        }
        const trail = below(level.trail, name);
        const here = this.#tree.find(name);
        const was = level.hasLower ? this.#lower?.find(name) : undefined;
        yield { trail, parent: level, here, was };
        if (here === undefined || !isDirectory(here.stat.mode)) continue;
        const hasLower = was !== undefined && isDirectory(was.stat.mode);
        this.#tree.enter(name);
        if (hasLower) this.#lower?.enter();
        levels.push(this.#level(trail, here, level, hasLower));
      }
    } finally {
      while (levels.length > 0) this.#leave(levels); // not all may have been asked for
    }
  }

  #leave(levels: Level[]): void {
    const left = levels.pop();
    if (left === undefined || levels.length === 0) return;
    this.#tree.leave();
    if (left.hasLower) this.#lower?.leave();
  }

  #level(trail: Trail | undefined, here: TreeEntry, parent: Level | undefined, hasLower: boolean): Level {
    const merges = (parent?.merges ?? true) && hasLower && this.#merges();
    const hasChanged = this.#copied !== undefined && !isBefore(here.inode.ctime, this.#copied);
    const mayBeMoved = parent !== undefined && (parent.mayBeMoved || hasChanged);
    return { trail, here, hasLower, merges, mayBeMoved, names: this.#names(hasLower, merges), next: 0 };
  }

  /** Whether the present directories show the same of the lower layers. */
  #merges(): boolean {
    const [tree, lower] = [this.#tree, this.#lower];
    return (
      tree instanceof UnionTree && lower !== undefined && this.#same.below(tree.directory, lower.directory)
    );
  }

  #names(hasLower: boolean, merges: boolean): string[] {
    const tree = this.#tree;
    if (merges && !this.#isFull && tree instanceof UnionTree) return tree.upperNames();
    return hasLower && this.#lower !== undefined ? merged(tree.names(), this.#lower.names()) : tree.names();
  }

  #isAsBefore(here: TreeEntry, was: TreeEntry, { mayBeMoved }: Level): boolean {
    if (isSameInode(here.inode, was.inode)) return true;
    const isOlder = this.#copied !== undefined && isBefore(here.inode.ctime, this.#copied);
    if (isOlder && !mayBeMoved) return true;
    const [now, before] = [here.stat, was.stat];
    if (now.mode !== before.mode) return false;
    // A copy that keeps owners in an attribute does so for what was given away, and not for every kind of file.
    const keepsOwner = !isOlder || here.override === undefined;
    if (keepsOwner && (now.uid !== before.uid || now.gid !== before.gid)) return false;
    if (!isSameTime(now.mtime, before.mtime) || !hasSameAttributes(here, was)) return false;
    if (isDirectory(now.mode)) return true;
    if (isSymlink(now.mode)) return linkTarget(here.place) === linkTarget(was.place);
    if (isRegular(now.mode)) return now.size === before.size && this.#hasSameData(here, was);
    return now.rdevMajor === before.rdevMajor && now.rdevMinor === before.rdevMinor;
  }

  #hasSameData(here: TreeEntry, was: TreeEntry): boolean {
    if (here.isMetacopy() || was.isMetacopy()) return false;
    const ours = here.openData();
    try {
      const theirs = was.openData();
      try {
        return hasSameData(ours, theirs);
      } finally {
        close(theirs);
      }
    } finally {
      close(ours);
    }
  }
}

const told = (kind: Kind, trail: Trail, entry: TreeEntry): Difference => ({
  kind,
  trail,
  entry,
  attributes: kind !== 'D' && isDirectory(entry.stat.mode) ? attributesOf(entry) : undefined,
});

const keyOf = ({ dev, ino }: Stat): string => `${dev}:${ino}`;
const isSameInode = (a: Stat, b: Stat): boolean => a.dev === b.dev && a.ino === b.ino;
const hasSeveral = ({ links, stat }: TreeEntry): boolean => links > 1 && !isDirectory(stat.mode);

const hasLinks = (here: TreeEntry, was: TreeEntry | undefined): boolean =>
  !isDirectory(here.stat.mode) && (hasSeveral(here) || (was !== undefined && hasSeveral(was)));

/** The names that share an inode, now or before. */
class Links {
  /** Per inode, the one that all its names had before; undefined if some name has changed or they were not together. */
  readonly #before = new Map<string, string | undefined>();
  /** Per former inode, the inode of the first of its names that is as it was. */
  readonly #first = new Map<string, string>();

  /** @param was what the name led to, if that is as it was */
  add(here: TreeEntry, was: TreeEntry | undefined): void {
    const [key, before] = [keyOf(here.inode), was && keyOf(was.inode)];
    if (!this.#before.has(key)) this.#before.set(key, before);
    else if (this.#before.get(key) !== before) this.#before.set(key, undefined);
    if (before !== undefined && !this.#first.has(before)) this.#first.set(before, key);
  }

  /** Whether a name need not be told; undefined if it shares its inode with none. */
  stays(here: TreeEntry, was: TreeEntry | undefined): boolean | undefined {
    if (!hasLinks(here, was)) return undefined;
    const key = keyOf(here.inode);
    const before = this.#before.get(key);
    return before !== undefined && this.#first.get(before) === key;
  }
}

/** The names of two sorted lists. */
function merged(a: readonly string[], b: readonly string[]): string[] {
  const names: string[] = [];
  for (let [i, j] = [0, 0]; i < a.length || j < b.length; ) {
    const [left, right] = [a[i], b[j]];
    const isLeft = right === undefined || (left !== undefined && left <= right);
    names.push((isLeft ? left : right) as string);
    if (left === right || isLeft) i += 1;
    if (left === right || !isLeft) j += 1;
  }
  return names;
}

const isSameTime = (a: Time, b: Time): boolean => a.seconds === b.seconds && a.nanoseconds === b.nanoseconds;

const isBefore = (a: Time, b: Time): boolean =>
  a.seconds < b.seconds || (a.seconds === b.seconds && a.nanoseconds < b.nanoseconds);

function hasSameAttributes(here: TreeEntry, was: TreeEntry): boolean {
  const [now, before] = [attributesOf(here), attributesOf(was)];
  return (
    now.size === before.size && [...now].every(([name, value]) => before.get(name)?.equals(value) === true)
  );
}
