/**
 * The nodes that are known, by id and by the inodes that they are, and their end.
 *
 * Rule: a node stays as long as the kernel or a child refers to it; with it go its descriptors and its watches.
 */
import { FUSE_ROOT_ID } from '../../protocol/abi.js';
import type { NodeId } from '../../protocol/filesystem.js';
import { E, Errno } from '../../sys/errno.js';
import type { Stat, U64 } from '../../sys/stat.js';
import type { InodeNumbers } from '../layers/inode-numbers.js';
import type { LayerDirectory } from '../layers/layer.js';
import type { Handles } from './handles.js';
import { DirectoryNode, FileNode, type Home, type Node } from './node.js';
import type { Population } from './population.js';
import type { Watcher } from './watcher.js';

/** How far a filesystem's clock may be behind. */
const CLOCK_SLACK_MS = 2000;
const MS_PER_S = 1000;

/** The directories that are merged in a node. */
interface MergedLayers {
  readonly upper: LayerDirectory | undefined;
  readonly lowers: readonly LayerDirectory[];
}

/** What the table works with, for one mount. */
interface Parts {
  readonly handles: Handles;
  readonly inodes: InodeNumbers;
  readonly population: Population;
  readonly watcher: Watcher | undefined;
}

export class NodeTable {
  readonly root: DirectoryNode;
  readonly #handles: Handles;
  readonly #inodes: InodeNumbers;
  readonly #population: Population;
  /** Undefined where nothing is said of changes to lower layers. */
  readonly #watcher: Watcher | undefined;
  /** Files with several links, by inode in their layer. */
  readonly #linked = new Map<string, FileNode>();
  /** Files of lower layers that had one name when they were found, by inode; made when it is needed first. */
  #singles: Map<string, FileNode> | undefined;
  readonly #since = Date.now() - CLOCK_SLACK_MS;
  #nextId = FUSE_ROOT_ID;

  /** @param ino of the root, in which `layers` are merged */
  constructor({ handles, inodes, population, watcher }: Parts, ino: U64, layers: MergedLayers) {
    this.#handles = handles;
    this.#inodes = inodes;
    this.#population = population;
    this.#watcher = watcher;
    this.root = this.addDirectory(ino, { parent: undefined, name: '' }, layers);
    this.root.lookups = 1;
  }

  addDirectory(
    ino: U64,
    at: { parent: DirectoryNode | undefined; name: string },
    layers: MergedLayers,
  ): DirectoryNode {
    const node = new DirectoryNode(this.#nextId++ as NodeId, ino, at, layers);
    this.#population.add(node);
    return node;
  }

  addFile(stat: Stat, home: Home, origin = stat): FileNode {
    const ino = this.#inodes.of(origin.dev, origin.ino);
    const node = new FileNode(this.#nextId++ as NodeId, ino, stat, home);
    this.#population.add(node);
    if (this.#singles !== undefined && !node.inUpper) this.#singles.set(keyOf(node), node);
    return node;
  }

  /** Throws Errno ESTALE. */
  get(id: NodeId): Node {
    const node = this.#population.get(id);
    if (node === undefined) throw new Errno(E.ESTALE);
    return node;
  }

  directory(id: NodeId): DirectoryNode {
    const node = this.get(id);
    if (!(node instanceof DirectoryNode)) throw new Errno(E.ENOTDIR);
    return node;
  }

  file(id: NodeId): FileNode {
    const node = this.get(id);
    if (!(node instanceof FileNode)) throw new Errno(E.EISDIR);
    return node;
  }

  /** The node of a file with several links, known under any of its names. */
  linked(stat: Stat): FileNode | undefined {
    return this.#linked.get(inodeKey(stat));
  }

  /** Makes further names of the inode lead to `node`. */
  registerLinks(node: FileNode, stat: Stat): void {
    const key = inodeKey(stat);
    if (node.keys.includes(key)) return;
    node.keys.push(key);
    this.#linked.set(key, node);
  }

  /** The node of a lower inode that had one name when it was found and has got another since the mount began. */
  singleNamed(stat: Stat): FileNode | undefined {
    if (this.#watcher === undefined || stat.ctime.seconds * MS_PER_S < this.#since) return undefined;
    this.#singles ??= this.#indexSingles();
    const node = this.#singles.get(inodeKey(stat));
    return node?.inUpper === false ? node : undefined;
  }

  #indexSingles(): Map<string, FileNode> {
    const singles = new Map<string, FileNode>();
    for (const node of this.#population.all())
      if (node instanceof FileNode && !node.inUpper) singles.set(keyOf(node), node);
    return singles;
  }

  /** Takes back `lookups`; without any left the node is gone, with its descriptors. */
  forget(id: NodeId, lookups: number): void {
    const node = this.#population.get(id);
    if (node === undefined) return;
    node.lookups -= lookups;
    if (node.lookups <= 0 && node !== this.root) this.drop(node);
  }

  /** Removes a node that neither the kernel nor a child refers to, and what only it held. */
  drop(node: Node): void {
    const dropped = [node];
    for (let next = dropped.pop(); next !== undefined; next = dropped.pop()) {
      if (next instanceof DirectoryNode) dropped.push(...this.#dropDirectory(next));
      else dropped.push(...this.#dropFile(next));
    }
  }

  #dropDirectory(node: DirectoryNode): Node[] {
    if (node.children.size > 0) return []; // its children will come back to it
    this.#watcher?.unwatch(node);
    for (const directory of node.layers) this.#closeDirectory(directory);
    this.#population.delete(node);
    return this.#detach(node.parent, node.name, node);
  }

  #dropFile(node: FileNode): Node[] {
    this.#handles.end(node);
    if (this.#singles?.get(keyOf(node)) === node) this.#singles.delete(keyOf(node));
    for (const key of node.keys) if (this.#linked.get(key) === node) this.#linked.delete(key);
    this.#population.delete(node);
    return node.links.flatMap(({ parent, name }) => this.#detach(parent, name, node));
  }

  #closeDirectory(directory: LayerDirectory): void {
    if (directory.parent === undefined) return;
    if (directory.pinned >= 0) this.#handles.unpin(directory);
    this.#handles.drop(directory);
  }

  /** Takes a child from its parent; what nothing holds any more then. */
  #detach(parent: DirectoryNode | undefined, name: string, child: Node): Node[] {
    if (parent === undefined) return [];
    if (parent.children.get(name) === child) parent.children.delete(name);
    return parent.lookups <= 0 && parent !== this.root ? [parent] : [];
  }

  /** Closes every descriptor that nodes hold. */
  close(): void {
    for (const node of this.#population.all()) {
      if (node instanceof FileNode) this.#handles.end(node);
      if (node instanceof DirectoryNode) for (const directory of node.layers) this.#closeDirectory(directory);
    }
  }
}

const inodeKey = ({ dev, ino }: Pick<Stat, 'dev' | 'ino'>): string => `${dev}:${ino}`;

/** Of the inode that a node is. */
const keyOf = ({ dev, layerIno }: FileNode): string => inodeKey({ dev, ino: layerIno });
