/**
 * Changes made to lower layers behind the mount's back.
 *
 * Rules: a directory's lower layers are watched with inotify from its first visit on; where that cannot be, they are looked
 * at again after a time-out (`unwatched.ts`). For each event, our own state
 * goes first, then the kernel's entry, then the kernel's inode. A lost event makes everything be looked up again.
 * Upper belongs to the mount: changing it from outside while mounted is not supported, as with overlayfs.
 */
import type { Notifier } from '../../protocol/filesystem.js';
import { AT, FUSE_SUPER_MAGIC, IN, O } from '../../sys/constants.js';
import { E, Errno, errnoName, unless } from '../../sys/errno.js';
import { report } from '../../sys/report.js';
import { isDirectory } from '../../sys/stat.js';
import {
  allocate,
  close,
  fstatfs,
  inotifyAddWatch,
  inotifyInit,
  inotifyRmWatch,
  openat,
  statat,
  tryRead,
} from '../../sys/syscalls.js';
import type { LayerDirectory } from '../layers/layer.js';
import { distrust, resolve } from './lookup.js';
import { DirectoryNode, type FileNode } from './node.js';
import { UNWATCHED, type Union } from './union.js';

const EVENTS =
  IN.MODIFY | IN.ATTRIB | IN.MOVED_FROM | IN.MOVED_TO | IN.CREATE | IN.DELETE | IN.ONLYDIR | IN.EXCL_UNLINK;
/** Events that change what a name means; the others change the inode it leads to. */
const NAME_EVENTS = IN.MOVED_FROM | IN.MOVED_TO | IN.CREATE | IN.DELETE;
/** Those after which a file may have one name more. */
const NEW_NAME_EVENTS = IN.MOVED_TO | IN.CREATE;
const EVENT_HEADER = 16;
/** What a directory that is just being changed may answer. */
const UNKNOWN = [E.ENOENT, E.ENOTDIR, E.EACCES, E.EIO, E.ELOOP, E.ESTALE];

/** f_type of filesystems whose other clients change files unseen (linux/magic.h): nfs, cifs, smb2, fuse, 9p, ceph... */
const REMOTE_TYPES = new Set([
  0x6969,
  0xff534d42,
  0xfe534d42,
  FUSE_SUPER_MAGIC,
  0x01021997,
  0x00c36400,
  0x0bd00bd0,
  0x47504653,
  0x5346414f,
]);

/** Whether inotify reports every change of the directory's filesystem. */
export function changesAreSeen(path: string): boolean {
  const fd = openat(AT.FDCWD, path, O.RDONLY | O.DIRECTORY);
  try {
    return !REMOTE_TYPES.has(fstatfs(fd).type);
  } finally {
    close(fd);
  }
}

const isSameDirectory = (a: LayerDirectory, b: LayerDirectory | undefined): boolean =>
  a.layer === b?.layer && a.parent === b.parent && a.name === b.name;

const WATCHES_FIX = 'sysctl fs.inotify.max_user_watches=1048576';
const INSTANCES_FIX = 'sysctl fs.inotify.max_user_instances=8192';

function warnUnwatched(why: string, fix: string): void {
  const text = `${why}: changes to lower layers are noticed after ${UNWATCHED} s instead of at once; as root, run "${fix}"`;
  report(`unionfs: ${text}`);
}

/** A new inotify instance; undefined, and a warning, where the kernel gives none. */
export function openChanges(): number | undefined {
  try {
    return inotifyInit();
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    warnUnwatched(`the kernel gives no inotify instance (${errnoName(error.code)})`, INSTANCES_FIX);
    return undefined;
  }
}

export class Changes {
  /** Readable when layers have changed; undefined where time-outs take its place. */
  readonly fd: number | undefined;
  readonly #union: Union;
  readonly #notifier: Notifier;
  readonly #watched = new Map<number, Set<DirectoryNode>>();
  readonly #watches = new Map<DirectoryNode, number[]>();
  readonly #memory = allocate(64 * 1024);
  #hasComplained = false;

  /** @param fd what `openChanges` gave; closed by `close` */
  constructor(union: Union, notifier: Notifier, fd: number | undefined) {
    this.#union = union;
    this.#notifier = notifier;
    this.fd = fd;
  }

  close(): void {
    if (this.fd !== undefined) close(this.fd);
  }

  get watchCount(): number {
    return this.#watched.size;
  }

  /** Starts watching a directory's lower layers; where the kernel refuses, time-outs take over. */
  watch(node: DirectoryNode): void {
    const { fd } = this;
    if (fd === undefined || node.watched !== undefined || node.lowers.length === 0) return;
    const watches: number[] = [];
    for (const directory of node.lowers) {
      const watch = inotifyAddWatch(fd, this.#union.handles.directory(directory), EVENTS);
      if (watch < 0) {
        this.#refused(-watch);
        break;
      }
      watches.push(watch);
      const nodes = this.#watched.get(watch);
      if (nodes === undefined) this.#watched.set(watch, new Set([node]));
      else nodes.add(node);
    }
    this.#watches.set(node, watches);
    node.watched = watches.length === node.lowers.length;
  }

  #refused(code: number): void {
    if (this.#hasComplained) return;
    this.#hasComplained = true;
    warnUnwatched(`the kernel gives no more inotify watches (${errnoName(code)})`, WATCHES_FIX);
  }

  unwatch(node: DirectoryNode): void {
    for (const watch of this.#watches.get(node) ?? []) {
      const nodes = this.#watched.get(watch);
      nodes?.delete(node);
      if (nodes?.size !== 0) continue;
      this.#watched.delete(watch);
      if (this.fd !== undefined) inotifyRmWatch(this.fd, watch);
    }
    this.#watches.delete(node);
    node.watched = undefined;
  }

  /** Handles all events that have arrived. */
  drain(): void {
    while (this.fd !== undefined) {
      const end = tryRead(this.fd, this.#memory);
      if (end <= 0) return;
      for (let at = 0; at < end; ) {
        const length = this.#memory.bytes.readUInt32LE(at + 12);
        this.#event(at, length);
        at += EVENT_HEADER + length;
      }
    }
  }

  #event(at: number, length: number): void {
    const watch = this.#memory.bytes.readInt32LE(at);
    const mask = this.#memory.bytes.readUInt32LE(at + 4);
    if ((mask & IN.Q_OVERFLOW) !== 0) {
      for (const node of this.#watches.keys()) distrust(this.#union, node);
      return;
    }
    const field = this.#memory.bytes.toString('latin1', at + EVENT_HEADER, at + EVENT_HEADER + length);
    const name = field.slice(0, Math.max(field.indexOf('\0'), 0));
    for (const node of this.#watched.get(watch) ?? []) this.#changed(node, name, mask);
  }

  /** Without a name the directory itself changed. */
  #changed(node: DirectoryNode, name: string, mask: number): void {
    const isName = (mask & NAME_EVENTS) !== 0 || this.#isMark(mask);
    if (name !== '' && isName) this.#renamed(node, name);
    const changed = name === '' ? node : node.children.get(name);
    if (changed !== undefined) this.#notifier.invalidateInode(changed.id); // also how many names it has
    if (changed instanceof DirectoryNode && (mask & IN.ATTRIB) !== 0) this.#reconsider(changed);
    if (name !== '' && (mask & NEW_NAME_EVENTS) !== 0) this.#linked(node, name);
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
      const known = this.#union.linked(stat) ?? this.#union.singleNamed(stat);
      if (known === undefined) continue;
      this.#union.registerLinks(known, stat);
      this.#notifier.invalidateInode(known.id);
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
    this.forgetEntry(node, shown);
    this.forgetListing(node);
  }

  /** Which layers a directory merges is decided when it is looked up. */
  #reopen(node: DirectoryNode): void {
    node.stale = true;
    if (node.parent !== undefined) this.forgetEntry(node.parent, node.name);
    distrust(this.#union, node);
  }

  forgetEntry(parent: DirectoryNode, name: string): void {
    const isDirectory = parent.children.get(name) instanceof DirectoryNode;
    this.#notifier.invalidateEntry(parent.id, name, isDirectory);
  }

  /** The kernel drops a file's pages; the notification's number. */
  forgetData(node: FileNode): number {
    return this.#notifier.invalidateInode(node.id);
  }

  isForgotten(notification: number): boolean {
    return this.#notifier.isDelivered(notification);
  }

  forgetListing(node: DirectoryNode): void {
    this.#notifier.invalidateInode(node.id);
  }
}
