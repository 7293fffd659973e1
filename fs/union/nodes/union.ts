/**
 * What all operations of one mount share: layers, nodes, descriptors, the work directory, who the kernel is told.
 *
 * Rule: one thread owns all of it; nothing here is ever awaited.
 */

import { FUSE_ROOT_ID } from '../../protocol/abi.js';
import type { Caller, NodeId, Notifier } from '../../protocol/filesystem.js';
import { E, Errno } from '../../sys/errno.js';
import type { Stat, U64 } from '../../sys/stat.js';
import { close, fstat, setfsgid, setfsuid, umask } from '../../sys/syscalls.js';
import { InodeNumbers } from '../layers/inode-numbers.js';
import type { InodeSet } from '../layers/inode-set.js';
import type { Layer, LayerDirectory } from '../layers/layer.js';
import { originsAreUnique } from '../layers/origin.js';
import type { Work } from '../layers/work.js';
import { diskOwner, type Owner, type Ownership, squashes } from '../owners/id-mapping.js';
import { isAlone } from '../owners/stored-owners.js';
import { Handles } from './handles.js';
import type { LinkIndex } from './link-index.js';
import { DirectoryNode, FileNode, type Home, type Node } from './node.js';
import { Population } from './population.js';
import type { Changes } from './watcher.js';

/** Seconds the kernel may rely on what it was told, where changes are reported or impossible: about 34 years. */
export const FOREVER = 2 ** 30;
/** Seconds it may rely on what lies in layers that should be watched but cannot be. */
export const UNWATCHED = 1;

/** The umask of what is made for the union itself: its modes are meant as they are. */
export const NO_MASK = 0;

/**
 * What a mount leaves out because it was asked to, as fuse-overlayfs(1) defines it: extended attributes (noxattrs), ACLs
 * (noacl), link counts of directories (static_nlink), the upper half of inode numbers (ino32_t), redirects
 * (redirect_dir=off).
 */
export type LeftOut = 'xattrs' | 'acl' | 'link-counts' | 'wide-inodes' | 'redirects';

/** How far a filesystem's clock may be behind. */
const CLOCK_SLACK_MS = 2000;
const MS_PER_S = 1000;

export interface UnionSettings {
  readonly without?: readonly LeftOut[];
  /** Whose files are shown as whose; undefined shows inodes' owners. */
  readonly ownership?: Ownership;
  /** Skip fsync in copy-up: a crash of the machine may lose or truncate copied-up files. */
  readonly volatile: boolean;
  /** Most descriptors to keep open. */
  readonly descriptors: number;
  /** Most nodes to remember; by default any number. */
  readonly nodes?: number;
  /** How changes to layers behind the mount's back are noticed; a number is a time-out in seconds. */
  readonly layerChanges: 'watch' | 'never' | number;
}

export class Union {
  readonly layers: readonly Layer[];
  readonly upper: Layer | undefined;
  readonly work: Work | undefined;
  /** Hard links of lower files; undefined where they do not survive copy-up. */
  index: LinkIndex | undefined;
  readonly settings: UnionSettings;
  readonly without: ReadonlySet<LeftOut>;
  readonly handles: Handles;
  readonly inodes: InodeNumbers;
  readonly root: DirectoryNode;
  /** Whether origins tell which lower filesystem they are of. */
  readonly originsAreUnique: boolean;
  /** Nobody else exists in this user namespace. */
  readonly isAlone = isAlone();
  /** Some layer keeps types, too, in an attribute. */
  readonly keepsTypes: boolean;
  /**
   * How owners are given past the kernel, if there is such a way: a secret (`virtual-owners.ts`), and the inodes that
   * may have another owner than is shown.
   */
  virtualOwners: { readonly secret: string; readonly inodes: InodeSet } | undefined;
  /** Notices changes of lower layers; undefined if `layerChanges` is "never". */
  changes: Changes | undefined;
  /** Tells the kernel, before the reply, that attributes of the request's node have changed as a side effect. */
  attributesChanged: (node: NodeId) => void = () => {};
  /** Tells the kernel what it remembers wrongly. */
  notifier: Notifier | undefined;
  readonly counters = { copiedUpFiles: 0, copiedUpBytes: 0 };

  readonly population: Population;
  /** Files with several links, by inode in their layer. */
  readonly #linked = new Map<string, FileNode>();
  /** Files of lower layers that had one name when they were found, by inode; made when it is needed first. */
  #singles: Map<string, FileNode> | undefined;
  readonly #since = Date.now() - CLOCK_SLACK_MS;
  #nextId = FUSE_ROOT_ID;
  #callerUid = process.geteuid?.();
  #callerGid = process.getegid?.();
  #umask = -1;

  constructor(layers: readonly Layer[], work: Work | undefined, settings: UnionSettings) {
    this.layers = layers;
    this.work = work;
    this.settings = settings;
    this.without = new Set(settings.without);
    this.upper = layers.find((layer) => layer.isUpper);
    if (work?.whiteoutForm === 'xattr') this.upper?.holdWhiteoutFiles(work.xattrPrefix);
    this.keepsTypes = layers.some(({ override }) => override !== undefined);
    this.handles = new Handles(settings.descriptors, this.upper, work);
    this.originsAreUnique = originsAreUnique(layers);
    const devices = layers.map((layer) => layer.dev);
    this.inodes = new InodeNumbers(devices, this.without.has('wide-inodes'));
    const lowers = layers.filter((layer) => !layer.isUpper).map((layer) => layer.root);
    const stat = fstat((lowers[0] ?? layers[0]?.root)?.pinned ?? -1);
    this.population = new Population(settings.nodes);
    this.root = this.newDirectory(
      this.inodes.of(stat.dev, stat.ino),
      { parent: undefined, name: '' },
      { upper: this.upper?.root, lowers },
    );
    this.root.lookups = 1;
  }

  // --- nodes

  newDirectory(
    ino: U64,
    at: { parent: DirectoryNode | undefined; name: string },
    layers: { upper: LayerDirectory | undefined; lowers: readonly LayerDirectory[] },
  ): DirectoryNode {
    const node = new DirectoryNode(this.#nextId++ as NodeId, ino, at, layers);
    this.population.add(node);
    return node;
  }

  newFile(stat: Stat, home: Home, origin = stat): FileNode {
    const ino = this.inodes.of(origin.dev, origin.ino);
    const node = new FileNode(this.#nextId++ as NodeId, ino, stat, home);
    this.population.add(node);
    if (this.#singles !== undefined && !node.inUpper) this.#singles.set(keyOf(node), node);
    return node;
  }

  node(id: NodeId): Node {
    const node = this.population.get(id);
    if (node === undefined) throw new Errno(E.ESTALE);
    return node;
  }

  directory(id: NodeId): DirectoryNode {
    const node = this.node(id);
    if (!(node instanceof DirectoryNode)) throw new Errno(E.ENOTDIR);
    return node;
  }

  file(id: NodeId): FileNode {
    const node = this.node(id);
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
    if (this.changes === undefined || stat.ctime.seconds * MS_PER_S < this.#since) return undefined;
    this.#singles ??= this.#indexSingles();
    const node = this.#singles.get(inodeKey(stat));
    return node?.inUpper === false ? node : undefined;
  }

  #indexSingles(): Map<string, FileNode> {
    const singles = new Map<string, FileNode>();
    for (const node of this.population.all())
      if (node instanceof FileNode && !node.inUpper) singles.set(keyOf(node), node);
    return singles;
  }

  /** It is not known what a name leads to: it is looked up again, by us and by the kernel. */
  doubt(parent: DirectoryNode, name: string): void {
    const child = parent.children.get(name);
    if (child !== undefined) child.stale = true;
    if (parent.listing !== undefined) parent.listing.stale = true;
    this.notifier?.invalidateEntry(parent.id, name, child instanceof DirectoryNode);
    this.notifier?.invalidateInode(parent.id);
  }

  get nodeCount(): number {
    return this.population.size;
  }

  /** Takes back `lookups`; without any left the node is gone, with its descriptors. */
  forget(id: NodeId, lookups: number): void {
    const node = this.population.get(id);
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
    this.changes?.unwatch(node);
    for (const directory of node.layers) this.#closeDirectory(directory);
    this.population.delete(node);
    return this.#detach(node.parent, node.name, node);
  }

  #dropFile(node: FileNode): Node[] {
    this.handles.end(node);
    if (this.#singles?.get(keyOf(node)) === node) this.#singles.delete(keyOf(node));
    for (const key of node.keys) if (this.#linked.get(key) === node) this.#linked.delete(key);
    this.population.delete(node);
    return node.links.flatMap(({ parent, name }) => this.#detach(parent, name, node));
  }

  #closeDirectory(directory: LayerDirectory): void {
    if (directory.parent === undefined) return;
    if (directory.pinned >= 0) this.handles.unpin(directory);
    this.handles.drop(directory);
  }

  /** Takes a child from its parent; what nothing holds any more then. */
  #detach(parent: DirectoryNode | undefined, name: string, child: Node): Node[] {
    if (parent === undefined) return [];
    if (parent.children.get(name) === child) parent.children.delete(name);
    return parent.lookups <= 0 && parent !== this.root ? [parent] : [];
  }

  /** Closes every descriptor of a layer. */
  close(): void {
    for (const node of this.population.all()) {
      if (node instanceof FileNode) this.handles.end(node);
      if (node instanceof DirectoryNode) for (const directory of node.layers) this.#closeDirectory(directory);
    }
    this.handles.closeAll();
    this.work?.close();
    if (this.index !== undefined) close(this.index.fd);
    for (const { rootFd } of this.layers) close(rootFd);
  }

  // --- layers

  /** Layers are never changed through a mount without upper. */
  writable(): { upper: Layer; work: Work } {
    if (this.upper === undefined || this.work === undefined) throw new Errno(E.EROFS);
    return { upper: this.upper, work: this.work };
  }

  /** Whether what is known of a directory's lower layers stays true until a change is reported. */
  trusts(directory: DirectoryNode): boolean {
    if (directory.lowers.length === 0 || this.settings.layerChanges === 'never') return true;
    return directory.watched === true;
  }

  /** Seconds the kernel may rely on names and attributes found in a directory. */
  timeout(directory: DirectoryNode): number {
    return this.trusts(directory) ? FOREVER : this.patience;
  }

  /** Seconds it may rely on what may change without a report. */
  get patience(): number {
    return typeof this.settings.layerChanges === 'number' ? this.settings.layerChanges : UNWATCHED;
  }

  // --- the caller

  /**
   * Makes the next inode that this thread creates belong to `caller`. The thread's capabilities stay
   * (SECBIT_NO_SETUID_FIXUP): the kernel has checked access already (default_permissions).
   * @returns the caller's group, if this thread belongs to it and may not act for it: the inode is to be given to it
   * @throws Errno EPERM where the server may make nobody else's files; EOVERFLOW where the caller has no id
   */
  actAs(caller: Caller): number | undefined {
    const { uid, gid } = this.ownerFor(caller);
    const refusedIsFine = squashes(this.settings.ownership);
    if (uid !== this.#callerUid) {
      if (setfsuid(uid)) this.#callerUid = uid;
      else if (!refusedIsFine) throw this.#refusal('setfsuid');
    }
    if (gid === this.#callerGid) return undefined;
    if (setfsgid(gid)) this.#callerGid = gid;
    else if (!refusedIsFine) {
      if (process.getgroups?.().includes(gid) === true) return gid;
      throw this.#refusal('setfsgid');
    }
    return undefined;
  }

  #refusal(call: string): Errno {
    return new Errno(process.geteuid?.() === 0 ? E.EOVERFLOW : E.EPERM, call);
  }

  /** Who owns on disk what the caller makes. */
  ownerFor(caller: Caller): Owner {
    const { ownership } = this.settings;
    return ownership === undefined ? caller : diskOwner(ownership, caller);
  }

  /** Makes `mask` the umask of the next creation; the layer's filesystem lets a default ACL override it. */
  mask(mask: number): void {
    if (mask === this.#umask) return;
    umask(mask);
    this.#umask = mask;
  }
}

const inodeKey = ({ dev, ino }: Pick<Stat, 'dev' | 'ino'>): string => `${dev}:${ino}`;

/** Of the inode that a node is. */
const keyOf = ({ dev, layerIno }: FileNode): string => inodeKey({ dev, ino: layerIno });
