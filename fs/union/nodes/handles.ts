/**
 * Open descriptors of layer files and directories, bounded by an LRU cache.
 *
 * Rules: opens cost no message, so a descriptor belongs to a node or layer directory, not to an open file. Any
 * descriptor may be closed behind one's back by opening another, but never one of the last few used: an operation
 * may hold those it just asked for. What lost its last name cannot be reopened, so its descriptor is pinned
 * outside the cache until the kernel forgets the node. Which of them are in use is not known, and there may be any number:
 * beyond a bound a file keeps a name in the work directory instead, and of a directory only its attributes are kept. So
 * no user can take the descriptors of the others; what they cost is disk, as on every filesystem.
 */
import { LRUCache } from 'lru-cache';
import { AT, O } from '../../sys/constants.js';
import { E, Errno, unless } from '../../sys/errno.js';
import {
  close,
  type DirectoryEntry,
  fstat,
  isWritable,
  keepAccessTime,
  linkat,
  openat,
  readDirectory,
} from '../../sys/syscalls.js';
import { type Layer, LayerDirectory, openData, openDirectory, openRegular } from '../layers/layer.js';
import { withOwnersRights } from '../layers/lend.js';
import { isMetacopy } from '../layers/marks.js';
import { STAGING, type Work } from '../layers/work.js';
import { finish } from '../rules/finish.js';
import type { DirectoryNode, FileNode, Home } from './node.js';

interface Handle {
  readonly fd: number;
  readonly writable: boolean;
}

/** Opens a file of a layer; in upper even if its mode forbids that to the owner, because a process that has it open may continue after the cache has closed the descriptor. */
const openOwn = ({ layer }: LayerDirectory, dirfd: number, name: string, open: () => number): number =>
  layer.isUpper
    ? withOwnersRights(
        [
          { dirfd, name: '' },
          { dirfd, name },
        ],
        open,
      )
    : open();

/** What is opened, unless openat(2) itself says EPERM, which such a file answers. */
function unlessAppendOnly(open: () => number): number | undefined {
  try {
    return open();
  } catch (error) {
    if (error instanceof Errno && error.code === E.EPERM && error.call === 'openat') return undefined;
    throw error;
  }
}

/** In a lower directory that is not watched, another file may have taken the name. */
function refuseOther(node: FileNode, fd: number): void {
  const { dev, ino } = fstat(fd);
  if (dev === node.dev && ino === node.layerIno) return;
  close(fd);
  throw new Errno(E.ESTALE, 'open');
}

/** How a descriptor for passage (`openDirectory`) refuses to list. */
const PASSAGE_ONLY: readonly number[] = [E.EBADF];

/** No descriptor is to be had: of this process, or of the machine. */
const USED_UP: readonly number[] = [E.EMFILE, E.ENFILE];
/** How many of the cached descriptors go then: all but those that an operation may hold. */
const HELD_AT_ONCE = 8;
export class Handles {
  readonly #open: LRUCache<object, Handle>;
  readonly #pinLimit: number;
  #pins = 0;
  /** Where files have their names that have none in the union; undefined where nothing is ever removed. */
  readonly #orphanage: { readonly directory: LayerDirectory; readonly work: Work } | undefined;

  /** @param limit most descriptors to keep open; half as many are pinned */
  constructor(limit: number, upper?: Layer, work?: Work) {
    this.#open = new LRUCache({ max: limit, dispose: ({ fd }) => close(fd) });
    this.#pinLimit = Math.floor(limit / 2);
    if (upper === undefined || work === undefined) return;
    this.#orphanage = { directory: new LayerDirectory(upper, undefined, STAGING), work };
    this.#orphanage.directory.pinned = work.fd;
  }

  /** Opens something; cached descriptors make room for it if they must. */
  #opening(open: () => number): number {
    const fd = unless(USED_UP, open);
    if (fd !== undefined) return fd;
    while (this.#open.size > HELD_AT_ONCE) this.#open.pop();
    return open();
  }

  /** A descriptor of a layer directory, for *at calls. */
  directory(directory: LayerDirectory): number {
    if (directory.pinned >= 0) return directory.pinned;
    const cached = this.#open.get(directory);
    return cached === undefined ? this.#openDirectory(directory) : cached.fd;
  }

  /**
   * Opens a directory from its nearest open ancestor. Of a long way only the last directories stay open, so that what
   * was used before does, too.
   */
  #openDirectory(directory: LayerDirectory): number {
    const way = [directory];
    let fd: number | undefined;
    for (let at = directory; fd === undefined; ) {
      if (at.parent === undefined) throw new Errno(E.ESTALE);
      at = at.parent;
      fd = at.pinned >= 0 ? at.pinned : this.#open.get(at)?.fd;
      if (fd === undefined) way.push(at);
    }
    const kept = Math.max(1, Math.floor(this.#open.max / 2));
    let passing = -1;
    for (let next = way.pop(); next !== undefined; next = way.pop()) {
      try {
        fd = this.#openBelow(next, fd);
      } finally {
        if (passing >= 0) close(passing);
      }
      passing = way.length < kept ? -1 : fd;
      if (passing < 0) this.#open.set(next, { fd, writable: false });
    }
    return fd;
  }

  /** The names in a layer directory; one in upper may forbid its owner to list it. */
  names(directory: LayerDirectory): DirectoryEntry[] {
    const fd = this.directory(directory);
    const names = unless(PASSAGE_ONLY, () => readDirectory(fd));
    if (names !== undefined) return names;
    if (!directory.layer.isUpper) throw new Errno(E.EACCES, 'getdents64');
    const readable = this.#opening(() =>
      withOwnersRights([{ dirfd: fd, name: '' }], () => openat(fd, '.', O.RDONLY | O.DIRECTORY)),
    );
    try {
      return readDirectory(readable);
    } finally {
      close(readable);
    }
  }

  #openBelow(directory: LayerDirectory, parent: number): number {
    return this.#opening(() => openDirectory(directory, parent, directory.name));
  }

  /** A descriptor of the directory that a node's attributes are in. */
  top(node: DirectoryNode): number {
    if (node.removed && node.upper?.last !== undefined) throw new Errno(E.ESTALE);
    return this.directory(node.top);
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
      this.#opening(() => openOwn(directory, dirfd, name, () => openData(directory, dirfd, name, flags)));
    const fd = writable ? this.#openWritable(node, open) : open(O.RDONLY);
    if (node.seen !== undefined && !node.inUpper) refuseOther(node, fd);
    this.#open.set(node, { fd, writable });
    return fd;
  }

  /** A file that is append-only (chattr +a) takes nothing but appends, through any descriptor. */
  #openWritable(node: FileNode, open: (flags: number) => number): number {
    const fd = unlessAppendOnly(() => open(O.RDWR));
    node.appendOnly = fd === undefined;
    return fd ?? open(O.RDWR | O.APPEND);
  }

  /** An open descriptor of the file's data, if there is one: cheaper to stat than a name. */
  ifOpen(node: FileNode): number | undefined {
    return node.pinned >= 0 ? node.pinned : this.#open.get(node)?.fd;
  }

  /** Hands over a descriptor of a file in upper that has a name. */
  adopt(node: FileNode, fd: number, writable: boolean): void {
    if (node.pinned === fd) this.#unpinned(node);
    if (node.home.directory.layer.quiet.files)
      finish('keeping access times', () => unless([E.EPERM], () => keepAccessTime(fd)));
    this.#open.set(node, { fd, writable });
  }

  /** Keeps a file usable after its last name in upper goes: read-write if it is a regular file. */
  pin(node: FileNode): void {
    if (node.pinned >= 0 || this.isOrphan(node)) return;
    const { directory, name } = node.home;
    const dirfd = this.directory(directory);
    if (this.#pins >= this.#pinLimit && this.#shelter(node, dirfd, name)) return;
    if (!node.isRegular || (!node.bare && isMetacopy(dirfd, name))) {
      this.#pinned(node, () => openat(dirfd, name, O.PATH | O.NOFOLLOW));
      return;
    }
    this.drop(node);
    const open = (flags: number): number => openRegular(directory, dirfd, name, flags);
    try {
      this.#pinned(node, () => openOwn(directory, dirfd, name, () => open(O.RDWR)));
    } catch {
      this.#pinned(node, () => open(O.RDONLY));
    }
  }

  /** Takes a descriptor of a file in upper that has no name. */
  pinUnnamed(node: FileNode, fd: number): void {
    if (this.#pins >= this.#pinLimit && this.#shelter(node, fd, '')) this.adopt(node, fd, isWritable(fd));
    else this.#pinned(node, () => fd);
  }

  /** Keeps a directory's attributes readable after it is removed. */
  pinDirectory(directory: LayerDirectory): void {
    if (directory.pinned >= 0 || directory.parent === undefined) return;
    if (this.#pins >= this.#pinLimit) {
      directory.last = fstat(this.directory(directory));
      return;
    }
    this.drop(directory);
    const parent = this.directory(directory.parent);
    this.#pinned(directory, () => openDirectory(directory, parent, directory.name));
    directory.last = undefined;
  }

  /** Closes a pinned descriptor. */
  unpin(owner: FileNode | LayerDirectory): void {
    close(owner.pinned);
    this.#unpinned(owner);
  }

  /** Another directory has taken the place of this one, and is kept if this one was. */
  replaced(directory: LayerDirectory): void {
    this.drop(directory);
    if (directory.pinned < 0) return;
    this.unpin(directory);
    this.pinDirectory(directory);
  }

  #pinned(owner: FileNode | LayerDirectory, open: () => number): void {
    owner.pinned = this.#opening(open);
    this.#pins++;
  }

  #unpinned(owner: FileNode | LayerDirectory): void {
    owner.pinned = -1;
    this.#pins--;
  }

  /** Whether a file has a name in the work directory, beside those that the union shows. */
  isOrphan({ home }: FileNode): boolean {
    return home.directory === this.#orphanage?.directory;
  }

  /** Gives a file a name in the work directory, where it is from now on; false if that is not possible, as on a full disk. */
  #shelter(node: FileNode, dirfd: number, name: string): boolean {
    if (this.#orphanage === undefined) return false;
    const { directory, work } = this.#orphanage;
    const own = work.temporary();
    try {
      linkat(dirfd, name, work.fd, own, name === '' ? AT.EMPTY_PATH : 0);
    } catch (error) {
      if (error instanceof Errno) return false;
      throw error;
    }
    node.home = { directory, name: own };
    return true;
  }

  /** The file has kept its name: it lives by that again. */
  unshelter(node: FileNode, home: Home): void {
    const { name } = node.home;
    node.home = home;
    finish('removing a name that is not used', () => this.#orphanage?.work.discard(name));
  }

  /** Releases a removed file that is not in use any more: closes its descriptor, and removes its name in the work directory. */
  end(node: FileNode): void {
    if (node.pinned >= 0) this.unpin(node);
    this.drop(node);
    if (!this.isOrphan(node)) return;
    finish('removing a file that is not used any more', () => this.#orphanage?.work.discard(node.home.name));
  }

  /** Closes what is open for a node or directory. */
  drop(owner: object): void {
    this.#open.delete(owner);
  }

  closeAll(): void {
    this.#open.clear();
  }
}
