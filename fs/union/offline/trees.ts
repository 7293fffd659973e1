/**
 * Trees to compare, of any depth: what a union shows, and a plain directory. One directory of each is the present one.
 *
 * Rules: what an entry refers to (`place`) may be used until the next step. Only the way down is kept in memory.
 */
import { AT, isAcl, O } from '../../sys/constants.js';
import { Descent, sortedNames } from '../../sys/descent.js';
import { toBytes } from '../../sys/path-bytes.js';
import { isRegular, type Stat } from '../../sys/stat.js';
import { close, fstat, getxattrat, listxattrat, openat, statat } from '../../sys/syscalls.js';
import { type Layer, type LayerDirectory, openData } from '../layers/layer.js';
import { isMetacopy } from '../layers/marks.js';
import type { OverrideXattr } from '../layers/owner-xattrs.js';
import type { Place } from '../layers/place.js';
import { namedBy } from '../layers/whiteout.js';
import { linksOf } from '../nodes/link-index.js';
import { find, statOf } from '../nodes/lookup.js';
import { DirectoryNode, type Node } from '../nodes/node.js';
import { layerOf, locate } from '../nodes/place.js';
import { listingOf } from '../nodes/readdir.js';
import type { Union } from '../nodes/union.js';
import { recordedForArchive, treeOverrideAt } from '../owners/stored-owners.js';
import { unescapeXattr } from '../owners/xattr-names.js';
import { type ViewedStack, viewOf } from './view.js';

export interface TreeEntry {
  /** The inode's own attributes: its identity, when it changed. */
  readonly inode: Stat;
  /** How many names it has, or may have. */
  readonly links: number;
  /** What is recorded of it (`stored-owners.ts`). */
  readonly stat: Stat;
  readonly place: Place;
  /** How its layer keeps owners. */
  readonly override: OverrideXattr | undefined;
  /** It lies in a layer that the tree shares with others. */
  readonly isShared: boolean;
  /** Its data is elsewhere (overlay.metacopy). */
  isMetacopy(): boolean;
  /** The name that users see of one of its attributes. */
  shown(attribute: string): string | undefined;
  /** Opens a regular file's data. */
  openData(): number;
}

export interface Tree {
  readonly root: TreeEntry;
  /** The present directory's names, sorted by their bytes. */
  names(): string[];
  find(name: string): TreeEntry | undefined;
  /** Goes into the directory that was found last. */
  enter(name: string): void;
  leave(): void;
  close(): void;
}

/** The attributes of an entry by the names that users see, sorted, without those that are the host's. */
export function attributesOf({ place: { dirfd, name }, shown }: TreeEntry): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (const attribute of listxattrat(dirfd, name)) {
    const seen = shown(attribute);
    const value = seen === undefined || !isOfFile(seen) ? undefined : getxattrat(dirfd, name, attribute);
    if (seen !== undefined && value !== undefined) found.set(seen, Buffer.from(value));
  }
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Whether an attribute belongs to the file and not to the host it lies on. */
function isOfFile(attribute: string): boolean {
  if (attribute.startsWith('security.')) return attribute === 'security.capability';
  return !attribute.startsWith('system.') || isAcl(attribute);
}

/** A directory that is no layer, but may keep its owners as one does. */
export class PlainTree implements Tree {
  readonly #fd: number;
  readonly #descent: Descent;
  readonly #override: OverrideXattr | undefined;
  readonly #owner: Stat;

  constructor(path: string) {
    this.#fd = openat(AT.FDCWD, toBytes(path), O.RDONLY | O.DIRECTORY);
    this.#descent = new Descent(this.#fd);
    this.#override = treeOverrideAt(this.#fd);
    this.#owner = fstat(this.#fd);
  }

  get root(): TreeEntry {
    return this.#entry({ dirfd: this.#fd, name: '' }, this.#owner);
  }

  names(): string[] {
    return this.#descent.names();
  }

  find(name: string): TreeEntry | undefined {
    const dirfd = this.#descent.fd;
    const inode = statat(dirfd, name);
    return inode && this.#entry({ dirfd, name }, inode);
  }

  #entry(place: Place, inode: Stat): TreeEntry {
    const override = this.#override;
    return {
      inode,
      links: inode.nlink,
      stat: recordedForArchive(override, place, inode, this.#owner),
      place,
      override,
      isShared: false,
      isMetacopy: () => false,
      shown: (attribute) => (override === undefined ? attribute : unescapeXattr(attribute, override)),
      openData: () => openat(place.dirfd, place.name, O.RDONLY | O.NOFOLLOW | O.NONBLOCK),
    };
  }

  enter(name: string): void {
    this.#descent.enter(name);
  }

  leave(): void {
    this.#descent.leave();
  }

  close(): void {
    this.#descent.close();
    close(this.#fd);
  }
}

export class UnionTree implements Tree {
  readonly #union: Union;
  readonly #way: DirectoryNode[];
  /** What was found last. */
  #found: Node | undefined;
  readonly #owners = new Map<Layer, Stat>();

  constructor(stack: ViewedStack) {
    this.#union = viewOf(stack);
    this.#way = [this.#union.root];
  }

  /** The present directory. */
  get directory(): DirectoryNode {
    return this.#way.at(-1) as DirectoryNode;
  }

  /** Whether names that upper does not hold may show what it holds (`link-index.ts`). */
  get hasLinksElsewhere(): boolean {
    const { index } = this.#union;
    return index !== undefined && sortedNames(index.fd).length > 0;
  }

  get root(): TreeEntry {
    const { root } = this.#union;
    return this.#entry(root, statOf(this.#union, root));
  }

  names(): string[] {
    return [...listingOf(this.#union, this.directory).names()].map(({ name }) => name).sort();
  }

  /** The names that upper's directory holds something under, deletions too. */
  upperNames(): string[] {
    const { upper } = this.directory;
    if (upper === undefined) return [];
    const held = this.#union.handles.names(upper).map(({ name }) => namedBy(name));
    return [...new Set(held.filter((name) => name !== undefined))].sort();
  }

  find(name: string): TreeEntry | undefined {
    this.#release();
    const found = find(this.#union, this.directory, name);
    if (found === undefined) return undefined;
    this.#found = found.node;
    return this.#entry(found.node, found.stat);
  }

  #entry(node: Node, inode: Stat): TreeEntry {
    const layer = layerOf(node);
    const { override } = layer;
    const place = locate(this.#union, node);
    return {
      inode,
      links: linksOf(node, inode),
      stat: recordedForArchive(override, place, inode, this.#ownerOf(layer)),
      place,
      override,
      isShared: !layer.isUpper,
      isMetacopy: () => isRegular(inode.mode) && isMetacopy(place.dirfd, place.name),
      shown: (attribute) => unescapeXattr(attribute, override),
      openData: () => {
        if (node instanceof DirectoryNode) throw new Error('data of a directory');
        const { directory, name } = node.home;
        return openData(directory, this.#union.handles.directory(directory), name, O.RDONLY);
      },
    };
  }

  #ownerOf(layer: Layer): Stat {
    const known = this.#owners.get(layer);
    if (known !== undefined) return known;
    const owner = fstat(layer.rootFd);
    this.#owners.set(layer, owner);
    return owner;
  }

  enter(): void {
    if (!(this.#found instanceof DirectoryNode)) throw new Error('entering what is no directory');
    this.#found.lookups += 1; // it stays while its children come and go
    this.#way.push(this.#found);
    this.#found = undefined;
  }

  leave(): void {
    this.#release();
    const left = this.#way.pop() as DirectoryNode;
    left.lookups -= 1;
    this.#union.nodes.drop(left);
  }

  #release(): void {
    if (this.#found !== undefined) this.#union.nodes.drop(this.#found);
    this.#found = undefined;
  }

  close(): void {
    this.#union.close();
  }
}

/** The directories of two layers that lie at the same place, as far as it is known. */
export class SameDirectories {
  readonly #pairs = new Map<LayerDirectory, LayerDirectory>();

  /** Whether the lower layers show the same in two directories. */
  below(merged: DirectoryNode, lower: DirectoryNode): boolean {
    const others = lower.layers;
    return (
      merged.lowers.length === others.length &&
      merged.lowers.every((directory, at) => this.#isSame(directory, others[at] as LayerDirectory))
    );
  }

  #isSame(one: LayerDirectory, other: LayerDirectory): boolean {
    for (let [a, b] = [one, other]; ; ) {
      if (a.name !== b.name || a.layer.path !== b.layer.path) return false;
      if (a.parent === undefined || b.parent === undefined) {
        if (a.parent !== b.parent) return false;
        break;
      }
      if (this.#pairs.get(a.parent) === b.parent) break;
      [a, b] = [a.parent, b.parent];
    }
    this.#pairs.set(one, other);
    return true;
  }
}
