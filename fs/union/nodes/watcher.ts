/**
 * Watches lower directories with inotify, and tells the kernel what it is to forget.
 *
 * Rule: a directory's lower layers are watched from its first visit on; where that cannot be, time-outs take over
 * (`trust.ts`, `unwatched.ts`). What the events mean is `changes.ts`'.
 */
import type { Notifier } from '../../protocol/filesystem.js';
import { AT, FUSE_SUPER_MAGIC, IN, O } from '../../sys/constants.js';
import { Errno, errnoName } from '../../sys/errno.js';
import { report } from '../../sys/report.js';
import {
  allocate,
  close,
  fstatfs,
  inotifyAddWatch,
  inotifyInit,
  inotifyRmWatch,
  openat,
  tryRead,
} from '../../sys/syscalls.js';
import type { Handles } from './handles.js';
import { DirectoryNode, type Node } from './node.js';
import { UNWATCHED } from './trust.js';

const EVENTS =
  IN.MODIFY | IN.ATTRIB | IN.MOVED_FROM | IN.MOVED_TO | IN.CREATE | IN.DELETE | IN.ONLYDIR | IN.EXCL_UNLINK;
const EVENT_HEADER = 16;
/** f_type of filesystems on which inotify misses changes of other clients (linux/magic.h): nfs, cifs, smb2, fuse, 9p, ceph... */
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

const WATCHES_FIX = 'sysctl fs.inotify.max_user_watches=1048576';
const INSTANCES_FIX = 'sysctl fs.inotify.max_user_instances=8192';

function warnUnwatched(why: string, fix: string): void {
  const text = `${why}; changes to lower layers are detected after ${UNWATCHED} s instead of immediately; as root, run "${fix}"`;
  report(`unionfs: ${text}`);
}

/** A new inotify instance; undefined, and a warning, where the kernel gives none. */
export function openInotify(): number | undefined {
  try {
    return inotifyInit();
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    warnUnwatched(`no inotify instance is available (${errnoName(error.code)})`, INSTANCES_FIX);
    return undefined;
  }
}

/** What is done about events. */
export interface Listener {
  /** Something has happened under a name of a watched directory; without a name the directory itself changed. */
  changed(node: DirectoryNode, name: string, mask: number): void;
  /** Events were lost: anything may have changed in any of the watched directories. */
  lost(nodes: Iterable<DirectoryNode>): void;
}

export class Watcher {
  /** Readable when layers have changed; undefined where time-outs take its place. */
  readonly fd: number | undefined;
  readonly #handles: Handles;
  readonly #notifier: Notifier;
  readonly #watched = new Map<number, Set<DirectoryNode>>();
  readonly #watches = new Map<DirectoryNode, number[]>();
  readonly #memory = allocate(64 * 1024);
  #hasComplained = false;

  /** @param fd what `openInotify` gave; closed by `close` */
  constructor(handles: Handles, notifier: Notifier, fd: number | undefined) {
    this.#handles = handles;
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
      const watch = inotifyAddWatch(fd, this.#handles.directory(directory), EVENTS);
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
    warnUnwatched(`no more inotify watches are available (${errnoName(code)})`, WATCHES_FIX);
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

  /** Reads what has been reported since it was asked last. */
  drain(listener: Listener): void {
    while (this.fd !== undefined) {
      const end = tryRead(this.fd, this.#memory);
      if (end <= 0) return;
      for (let at = 0; at < end; ) {
        const length = this.#memory.bytes.readUInt32LE(at + 12);
        const mask = this.#memory.bytes.readUInt32LE(at + 4);
        if ((mask & IN.Q_OVERFLOW) !== 0) listener.lost(this.#watches.keys());
        else {
          const name = this.#nameAt(at + EVENT_HEADER, length);
          const nodes = this.#watched.get(this.#memory.bytes.readInt32LE(at)) ?? [];
          for (const node of nodes) listener.changed(node, name, mask);
        }
        at += EVENT_HEADER + length;
      }
    }
  }

  /** A name ends at its first NUL; without one it is empty. */
  #nameAt(at: number, length: number): string {
    const field = this.#memory.bytes.toString('latin1', at, at + length);
    return field.slice(0, Math.max(field.indexOf('\0'), 0));
  }

  forgetEntry(parent: DirectoryNode, name: string): void {
    const isDirectory = parent.children.get(name) instanceof DirectoryNode;
    this.#notifier.invalidateEntry(parent.id, name, isDirectory);
  }

  /** The kernel drops attributes, and a file's pages or a directory's listing; the notification's number. */
  forgetInode(node: Node): number {
    return this.#notifier.invalidateInode(node.id);
  }

  isForgotten(notification: number): boolean {
    return this.#notifier.isDelivered(notification);
  }
}
