/**
 * Open descriptors of layer files and directories, bounded by an LRU cache.
 *
 * Rules: opens cost no message, so a descriptor belongs to a node or layer directory, not to an open file. Any
 * descriptor may be closed behind one's back by opening another, but never one of the last few used: an operation
 * may hold those it just asked for. What lost its last name cannot be reopened, so its descriptor is pinned
 * outside the cache until the kernel forgets the node.
 */
import { LRUCache } from 'lru-cache';
import { O, S } from '../sys/constants.js';
import { E, Errno, unless } from '../sys/errno.js';
import { close, fchmodat, fstat, keepAccessTime, openat, statat } from '../sys/syscalls.js';
import { finish } from './finish.js';
import { type LayerDirectory, openData, openDirectory, openRegular } from './layer.js';
import type { FileNode } from './node.js';
import { isMetacopy } from './whiteout.js';

interface Handle {
  readonly fd: number;
  readonly writable: boolean;
}

const OWNER_MAY = 0o600;

/**
 * Opens a file of a layer, in upper also one whose mode forbids it to its owner. Who has it open may go on using it after its descriptor
 * has made room for others; a server without root is refused then, unless it lends itself the right for a moment.
 */
function openOwn({ layer }: LayerDirectory, dirfd: number, name: string, open: () => number): number {
  if (!layer.isUpper) return open();
  const fd = unless([E.EACCES], open);
  if (fd !== undefined) return fd;
  const stat = statat(dirfd, name);
  if (stat === undefined) throw new Errno(E.ESTALE);
  const mode = stat.mode & ~S.IFMT;
  const lent = unless([E.EPERM], () => {
    fchmodat(dirfd, name, mode | OWNER_MAY);
    return true;
  });
  if (lent === undefined) throw new Errno(E.EACCES, 'open'); // another's file
  try {
    return open();
  } finally {
    fchmodat(dirfd, name, mode);
  }
}

/** In a lower directory that is not watched, another file may have taken the name. */
function refuseOther(node: FileNode, fd: number): void {
  const { dev, ino } = fstat(fd);
  if (dev === node.dev && ino === node.layerIno) return;
  close(fd);
  throw new Errno(E.ESTALE, 'open');
}

export class Handles {
  readonly #open: LRUCache<object, Handle>;

  /** @param limit most descriptors to keep open */
  constructor(limit: number) {
    this.#open = new LRUCache({ max: limit, dispose: ({ fd }) => close(fd) });
  }

  /** A descriptor of a layer directory, for *at calls. */
  directory(directory: LayerDirectory): number {
    if (directory.pinned >= 0) return directory.pinned;
    const cached = this.#open.get(directory);
    if (cached !== undefined) return cached.fd;
    if (directory.parent === undefined) throw new Errno(E.ESTALE);
    const fd = openDirectory(directory, this.directory(directory.parent), directory.name);
    this.#open.set(directory, { fd, writable: false });
    return fd;
  }

  /** A descriptor for reading a regular file's data. */
  reader(node: FileNode): number {
    return this.#file(node, false);
  }

  /** A descriptor for reading and writing the data of a regular file in upper. */
  writer(node: FileNode): number {
    return this.#file(node, true);
  }

  #file(node: FileNode, writable: boolean): number {
    if (node.pinned >= 0) return node.pinned;
    const cached = this.#open.get(node);
    if (cached !== undefined && (cached.writable || !writable)) return cached.fd;
    const { directory, name } = node.home;
    const dirfd = this.directory(directory);
    const open = (flags: number): number =>
      openOwn(directory, dirfd, name, () => openData(directory, dirfd, name, flags));
    const fd = writable ? this.#openWritable(node, open) : open(O.RDONLY);
    if (node.seen !== undefined && !node.inUpper) refuseOther(node, fd);
    this.#open.set(node, { fd, writable });
    return fd;
  }

  /** A file that is append-only (chattr +a) takes nothing but appends, through any descriptor. */
  #openWritable(node: FileNode, open: (flags: number) => number): number {
    const fd = unless([E.EPERM], () => open(O.RDWR));
    node.appendOnly = fd === undefined;
    return fd ?? open(O.RDWR | O.APPEND);
  }

  /** An open descriptor of the file's data, if there is one: cheaper to stat than a name. */
  ifOpen(node: FileNode): number | undefined {
    return node.pinned >= 0 ? node.pinned : this.#open.get(node)?.fd;
  }

  /** Hands over a descriptor of a new file in upper. */
  adopt(node: FileNode, fd: number, writable: boolean): void {
    if (node.home.directory.layer.quiet.files)
      finish('keeping access times', () => unless([E.EPERM], () => keepAccessTime(fd)));
    this.#open.set(node, { fd, writable });
  }

  /** Keeps a file usable after its last name in upper goes: read-write if it is a regular file. */
  pin(node: FileNode): void {
    if (node.pinned >= 0) return;
    const { directory, name } = node.home;
    const dirfd = this.directory(directory);
    if (!node.isRegular || (!node.bare && isMetacopy(dirfd, name))) {
      node.pinned = openat(dirfd, name, O.PATH | O.NOFOLLOW);
      return;
    }
    this.drop(node);
    try {
      node.pinned = openOwn(directory, dirfd, name, () => openRegular(directory, dirfd, name, O.RDWR));
    } catch {
      node.pinned = openRegular(directory, dirfd, name, O.RDONLY);
    }
  }

  /** Keeps a directory's attributes readable after it is removed. */
  pinDirectory(directory: LayerDirectory): void {
    if (directory.pinned >= 0 || directory.parent === undefined) return;
    this.drop(directory);
    directory.pinned = openDirectory(directory, this.directory(directory.parent), directory.name);
  }

  /** Closes a pinned descriptor. */
  unpin(owner: FileNode | LayerDirectory): void {
    close(owner.pinned);
    owner.pinned = -1;
  }

  /** Closes what is open for a node or directory. */
  drop(owner: object): void {
    this.#open.delete(owner);
  }

  closeAll(): void {
    this.#open.clear();
  }
}
