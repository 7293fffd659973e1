/**
 * Nodes: the inodes of the merged view, as the kernel knows them.
 *
 * Rules: all names of one inode share one node, or their page caches would diverge. A node keeps its id and its
 * inode number over copy-up, rename and the loss of names. Node ids are never reused.
 */
import type { NodeId } from '../../protocol/filesystem.js';
import { S } from '../../sys/constants.js';
import type { Stat, Time, U64 } from '../../sys/stat.js';
import type { LayerDirectory } from '../layers/layer.js';
import type { Listing } from './listing.js';

/** Where a non-directory lies: a name in a directory of a layer. */
export interface Home {
  readonly directory: LayerDirectory;
  readonly name: string;
}

/** One name of a non-directory in the merged view. */
export interface Link {
  readonly parent: DirectoryNode;
  readonly name: string;
}

/** What a node with an entry in the index knows of it. */
export interface IndexEntry {
  readonly name: string;
  /** Links of the lower inode. */
  readonly lowerLinks: number;
  /** Names in the union minus links of the upper inode. */
  offset: number;
}

/** What the kernel was told of a file that nothing watches (`unwatched.ts`). */
export interface Seen {
  /** Undefined while a further change could leave it as it is. */
  readonly ctime: Time | undefined;
  readonly size: U64;
  readonly mtime: Time;
  /** The notification that drops the pages of what was there before. */
  readonly notification?: number;
}

abstract class BaseNode {
  readonly id: NodeId;
  /** st_ino in the mount. */
  readonly ino: U64;
  /** How many lookups the kernel has not taken back yet. */
  lookups = 0;
  /** A layer changed behind the mount's back: look again before using what is known. */
  stale = false;

  constructor(id: NodeId, ino: U64) {
    this.id = id;
    this.ino = ino;
  }
}

export class DirectoryNode extends BaseNode {
  parent: DirectoryNode | undefined;
  name: string;
  upper: LayerDirectory | undefined;
  /** The lower layers' directories that are merged here, the top one first. */
  lowers: readonly LayerDirectory[];
  /** Where upper's redirect xattr says that the lower directories are. */
  redirect: string | undefined;
  /** The names the kernel knows here. */
  readonly children = new Map<string, Node>();
  listing: Listing | undefined;
  /** The kernel was told of some name that it is not there. */
  saidAbsent = false;
  /** The directory was removed while in use: it is empty and stays so. */
  removed = false;
  /** Changes to the lower directories are reported; undefined until they are first visited. */
  watched: boolean | undefined;

  constructor(
    id: NodeId,
    ino: U64,
    at: { parent: DirectoryNode | undefined; name: string },
    layers: { upper: LayerDirectory | undefined; lowers: readonly LayerDirectory[] },
  ) {
    super(id, ino);
    this.parent = at.parent;
    this.name = at.name;
    this.upper = layers.upper;
    this.lowers = layers.lowers;
  }

  /** The directory of the topmost layer: attributes come from it. */
  get top(): LayerDirectory {
    const top = this.upper ?? this.lowers[0];
    if (top === undefined) throw new Error('a directory node without layers');
    return top;
  }

  /** Every layer's directory, the top one first. */
  get layers(): readonly LayerDirectory[] {
    return this.upper === undefined ? this.lowers : [this.upper, ...this.lowers];
  }
}

export class FileNode extends BaseNode {
  /** File type bits of the inode's st_mode. */
  type: number;
  /** Where data and attributes are. */
  home: Home;
  /** The inode at `home`: its filesystem and number there. */
  dev: number;
  layerIno: U64;
  /** The names that are known; those of a file with hard links may be more. */
  readonly links: Link[] = [];
  /** The descriptor of a file that has lost its home's name; -1 while it has one. */
  pinned = -1;
  /** Identity of the inode in its layer, while `nlink` > 1 makes it needed: "dev:ino" keys of the node table. */
  readonly keys: string[] = [];
  /** The copy of a lower file with several names. */
  index: IndexEntry | undefined;
  /** It lies in upper and is the copy of a lower entry. */
  hasOrigin = false;
  /** Made in this mount and never given a capability: it has neither that nor the marks of a metacopy. */
  bare = false;
  /** In a directory that is not watched: what the kernel was told. */
  seen: Seen | undefined;
  /** Its descriptor for writing can only append (chattr +a). */
  appendOnly = false;

  constructor(id: NodeId, ino: U64, stat: Stat, home: Home) {
    super(id, ino);
    this.home = home;
    this.type = stat.mode & S.IFMT;
    this.dev = stat.dev;
    this.layerIno = stat.ino;
  }

  /** Another inode is at home from now on. */
  becomes({ mode, dev, ino }: Stat): void {
    this.type = mode & S.IFMT;
    this.dev = dev;
    this.layerIno = ino;
  }

  get inUpper(): boolean {
    return this.home.directory.layer.isUpper;
  }

  /** It is the copy of a lower entry, or will be one before anything changes. */
  get isCopy(): boolean {
    return this.hasOrigin || !this.inUpper;
  }

  get isRegular(): boolean {
    return this.type === S.IFREG;
  }

  addLink(parent: DirectoryNode, name: string): void {
    if (!this.links.some((link) => link.parent === parent && link.name === name)) {
      this.links.push({ parent, name });
    }
  }

  removeLink(parent: DirectoryNode, name: string): void {
    const index = this.links.findIndex((link) => link.parent === parent && link.name === name);
    if (index >= 0) this.links.splice(index, 1);
  }
}

export type Node = DirectoryNode | FileNode;
