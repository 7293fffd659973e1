/**
 * Changes made to lower layers behind the mount's back: what a reported event means for nodes and for the kernel.
 *
 * Rules: for each event, our own state goes first, then the kernel's entry, then the kernel's inode. A lost event makes
 * everything be looked up again. Upper belongs to the mount: changing it from outside while mounted is not supported, as
 * with overlayfs.
 */
import { IN } from '../../sys/constants.js';
import { E, unless } from '../../sys/errno.js';
import { isDirectory } from '../../sys/stat.js';
import { statat } from '../../sys/syscalls.js';
import type { LayerDirectory } from '../layers/layer.js';
import { markChildrenStale, resolve } from './lookup.js';
import { DirectoryNode } from './node.js';
import type { Union } from './union.js';
import type { Listener, Watcher } from './watcher.js';

/** Events that change what a name means; the others change the inode it leads to. */
const NAME_EVENTS = IN.MOVED_FROM | IN.MOVED_TO | IN.CREATE | IN.DELETE;
/** Those after which a file may have one name more. */
const NEW_NAME_EVENTS = IN.MOVED_TO | IN.CREATE;
/** What a directory that is just being changed may answer. */
const UNKNOWN = [E.ENOENT, E.ENOTDIR, E.EACCES, E.EIO, E.ELOOP, E.ESTALE];

const isSameDirectory = (a: LayerDirectory, b: LayerDirectory | undefined): boolean =>
  a.layer === b?.layer && a.parent === b.parent && a.name === b.name;

export class Changes implements Listener {
  readonly #union: Union;
  readonly #watcher: Watcher;

  constructor(union: Union, watcher: Watcher) {
    this.#union = union;
    this.#watcher = watcher;
  }

  /** Handles all that has been reported. */
  handle(): void {
    this.#watcher.drain(this);
  }

  /** Without a name the directory itself changed. */
  changed(node: DirectoryNode, name: string, mask: number): void {
    const isName = (mask & NAME_EVENTS) !== 0 || this.#isMark(mask);
    if (name !== '' && isName) this.#renamed(node, name);
    const changed = name === '' ? node : node.children.get(name);
    if (changed !== undefined) this.#watcher.forgetInode(changed); // also how many names it has
    if (changed instanceof DirectoryNode && (mask & IN.ATTRIB) !== 0) this.#reconsider(changed);
    if (name !== '' && (mask & NEW_NAME_EVENTS) !== 0) this.#linked(node, name);
  }

  /** Any name may lead elsewhere. */
  lost(nodes: Iterable<DirectoryNode>): void {
    for (const node of nodes) markChildrenStale(this.#union, node);
  }

  /** An attribute may make a file a whiteout, or a whiteout a file. */
  #isMark(mask: number): boolean {
    return (mask & IN.ATTRIB) !== 0 && this.#union.layers.some(({ hasXattrWhiteouts }) => hasXattrWhiteouts);
  }

  /** An attribute may say which directories are merged: opaque marks and redirects come and go. */
  #reconsider(node: DirectoryNode): void {
    const { parent, name, lowers } = node;
    if (parent === undefined || node.stale || node.removed) return;
    const found = unless(UNKNOWN, () => resolve(this.#union, parent, name));
    const isSame =
      found?.is === 'directory' &&
      found.lowers.length === lowers.length &&
      found.lowers.every((lower, index) => isSameDirectory(lower, lowers[index]));
    if (!isSame) this.#reopen(node);
  }

  /** A further name of a file changes the file: its parent is not told (vfs_link). */
  #linked(node: DirectoryNode, name: string): void {
    for (const directory of node.lowers) {
      const stat = unless(UNKNOWN, () => statat(this.#union.handles.directory(directory), name));
      if (stat === undefined || stat.nlink < 2 || isDirectory(stat.mode)) continue;
      const known = this.#union.nodes.linked(stat) ?? this.#union.nodes.singleNamed(stat);
      if (known === undefined) continue;
      this.#union.nodes.registerLinks(known, stat);
      this.#watcher.forgetInode(known);
    }
  }

  /** A `.wh.NAME` that comes or goes changes NAME; `.wh..wh..opq` changes every name. */
  #renamed(node: DirectoryNode, name: string): void {
    if (name === '.wh..wh..opq') {
      this.#reopen(node);
      return;
    }
    const shown = name.startsWith('.wh.') ? name.slice('.wh.'.length) : name;
    const child = node.children.get(shown);
    if (child !== undefined) child.stale = true;
    if (node.listing !== undefined) node.listing.stale = true;
    this.#watcher.forgetEntry(node, shown);
    this.#watcher.forgetInode(node);
  }

  /** Which layers a directory merges is decided when it is looked up. */
  #reopen(node: DirectoryNode): void {
    node.stale = true;
    if (node.parent !== undefined) this.#watcher.forgetEntry(node.parent, node.name);
    markChildrenStale(this.#union, node);
  }
}
