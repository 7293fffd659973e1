/**
 * What the operations of one mount work with: layers, the work directory, nodes, descriptors, how the kernel is told.
 *
 * Rules: one thread owns all of it; nothing here is ever awaited. It is whole when it is made: nothing is put in later.
 */
import type { NodeId, Notifier } from '../../protocol/filesystem.js';
import { E, Errno } from '../../sys/errno.js';
import type { U64 } from '../../sys/stat.js';
import { close, fstat } from '../../sys/syscalls.js';
import { InodeNumbers } from '../layers/inode-numbers.js';
import type { InodeSet } from '../layers/inode-set.js';
import type { Layer, LayerDirectory } from '../layers/layer.js';
import { originsAreUnique } from '../layers/origin.js';
import type { Work } from '../layers/work.js';
import type { Ownership } from '../owners/id-mapping.js';
import { isAlone } from '../owners/stored-owners.js';
import { Credentials } from './credentials.js';
import { Handles } from './handles.js';
import type { LinkIndex } from './link-index.js';
import type { DirectoryNode } from './node.js';
import { NodeTable } from './node-table.js';
import { Population, type Pruning } from './population.js';
import { type LayerChanges, Trust } from './trust.js';
import { Watcher } from './watcher.js';

/**
 * What a mount leaves out because it was asked to, as fuse-overlayfs(1) defines it: extended attributes (noxattrs), ACLs
 * (noacl), link counts of directories (static_nlink), the upper half of inode numbers (ino32_t), redirects
 * (redirect_dir=off).
 */
export type LeftOut = 'xattrs' | 'acl' | 'link-counts' | 'wide-inodes' | 'redirects';

export interface UnionSettings {
  readonly without?: readonly LeftOut[];
  /** How owners are mapped; undefined shows the owners of inodes. */
  readonly ownership?: Ownership;
  /** Skip fsync in copy-up: a crash of the machine may lose or truncate copied-up files. */
  readonly volatile: boolean;
  /** Most descriptors to keep open. */
  readonly descriptors: number;
  /** Most nodes to remember; by default any number. */
  readonly nodes?: number;
  readonly layerChanges: LayerChanges;
}

/** The kernel that remembers what it was told of this union, and how it is told otherwise. */
export interface Kernel {
  readonly notifier: Notifier;
  /** Tells it, before the reply, that attributes of the request's node have changed as a side effect. */
  readonly attributesChanged: (node: NodeId) => void;
  readonly pruning: Pruning;
}

export interface UnionParts {
  /** The top one first. */
  readonly layers: readonly Layer[];
  /** Undefined in a union that is only looked at. */
  readonly work?: Work | undefined;
  /** Hard links of lower files; undefined where they do not survive copy-up. */
  readonly index?: LinkIndex | undefined;
  readonly settings: UnionSettings;
  /** Undefined where nobody remembers. */
  readonly kernel?: Kernel | undefined;
  /** An inotify instance (`openInotify`), by which changes of lower layers are reported. */
  readonly inotify?: number | undefined;
  /**
   * How owners are given past the kernel, if there is such a way: a secret (`virtual-owners.ts`), and the inodes that
   * may have another owner than is shown.
   */
  readonly virtualOwners?: { readonly secret: string; readonly inodes: InodeSet } | undefined;
}

export class Union {
  readonly layers: readonly Layer[];
  readonly upper: Layer | undefined;
  readonly work: Work | undefined;
  readonly index: LinkIndex | undefined;
  readonly settings: UnionSettings;
  readonly without: ReadonlySet<LeftOut>;
  readonly virtualOwners: UnionParts['virtualOwners'];
  readonly handles: Handles;
  readonly inodes: InodeNumbers;
  readonly trust: Trust;
  /** Watches lower layers; undefined if `layerChanges` is "never", or nobody remembers. */
  readonly watcher: Watcher | undefined;
  readonly population: Population;
  readonly nodes: NodeTable;
  readonly credentials: Credentials;
  readonly notifier: Notifier | undefined;
  readonly attributesChanged: Kernel['attributesChanged'];
  /** Whether origins tell which lower filesystem they are of. */
  readonly originsAreUnique: boolean;
  /** The user namespace has only one id. */
  readonly isAlone = isAlone();
  /** Some layer keeps types, too, in an attribute. */
  readonly keepsTypes: boolean;
  readonly counters = { copiedUpFiles: 0, copiedUpBytes: 0 };

  constructor({ layers, work, index, settings, kernel, inotify, virtualOwners }: UnionParts) {
    this.layers = layers;
    this.work = work;
    this.index = index;
    this.settings = settings;
    this.without = new Set(settings.without);
    this.virtualOwners = virtualOwners;
    this.upper = layers.find((layer) => layer.isUpper);
    if (work?.whiteoutForm === 'xattr') this.upper?.holdWhiteoutFiles(work.xattrPrefix);
    this.keepsTypes = layers.some(({ override }) => override !== undefined);
    this.originsAreUnique = originsAreUnique(layers);
    this.handles = new Handles(settings.descriptors, this.upper, work);
    const devices = layers.map((layer) => layer.dev);
    this.inodes = new InodeNumbers(devices, this.without.has('wide-inodes'));
    this.trust = new Trust(settings.layerChanges);
    this.notifier = kernel?.notifier;
    this.attributesChanged = kernel?.attributesChanged ?? (() => {});
    const isWatched = kernel !== undefined && settings.layerChanges !== 'never';
    this.watcher = isWatched ? new Watcher(this.handles, kernel.notifier, inotify) : undefined;
    this.population = new Population(settings.nodes, kernel?.pruning);
    this.nodes = new NodeTable(this, this.#rootInode(), {
      upper: this.upper?.root,
      lowers: this.#lowerRoots(),
    });
    this.credentials = new Credentials(settings.ownership);
  }

  #lowerRoots(): LayerDirectory[] {
    return this.layers.filter((layer) => !layer.isUpper).map((layer) => layer.root);
  }

  /** The top lower layer's, as of every directory. */
  #rootInode(): U64 {
    const shown = this.layers.find((layer) => !layer.isUpper) ?? this.layers[0];
    if (shown === undefined) throw new Error('a union without layers');
    const { dev, ino } = fstat(shown.rootFd);
    return this.inodes.of(dev, ino);
  }

  get root(): DirectoryNode {
    return this.nodes.root;
  }

  /** Layers are never changed through a mount without upper. */
  writable(): { upper: Layer; work: Work } {
    if (this.upper === undefined || this.work === undefined) throw new Errno(E.EROFS);
    return { upper: this.upper, work: this.work };
  }

  /** Closes every descriptor of a layer; the watcher's own is closed by itself. */
  close(): void {
    this.nodes.close();
    this.handles.closeAll();
    this.work?.close();
    if (this.index !== undefined) close(this.index.fd);
    for (const { rootFd } of this.layers) close(rootFd);
  }
}
