/**
 * The directories of a layer that is being unpacked.
 *
 * Rules: the tree of directories is in memory, so only directories of this layer are entered; on disk they are reached one
 * component at a time from the root's descriptor, never through a symlink. Symlinks of the layer in a path are resolved in
 * memory, inside the root, as the kernel does after chroot(2) (path_resolution(7)); symlinks of lower layers are not.
 * Attributes of directories are set at the end, innermost first: after that nothing changes their times, and no default
 * ACL affects their contents. A directory without an entry gets the attributes of the one in the layers below
 * (`layers-below.ts`), else mode 0755, owner root and time 0.
 */
import { LRUCache } from 'lru-cache';
import {
  DOT_OPAQUE,
  DOT_WHITEOUT,
  isDotName,
  linkTarget,
  MARK_REFUSED,
  makeWhiteoutDevice,
  markOpaque,
  OVERLAY_PREFIXES,
  type OverrideXattr,
  recorded,
  removeTree,
} from '../../../fs/layers.js';
import { NAME_MAX, O } from '../../../fs/sys/constants.js';
import { Descent } from '../../../fs/sys/descent.js';
import { E, Errno, unless } from '../../../fs/sys/errno.js';
import { isSymlink, isWhiteoutDevice, type Time } from '../../../fs/sys/stat.js';
import { close, mkdirat, openat, statat, utimensat } from '../../../fs/sys/syscalls.js';
import { isUsual, type LayersBelow, USUAL_MODE } from './layers-below.js';
import { type Attributes, applyAttributes } from './unpack-attributes.js';

const OPEN_DIRECTORIES = 128;
/** As many as the kernel follows (path_resolution(7)). */
const MAX_LINKS = 40;
/** The mode of a directory until its attributes are set. */
const PRIVATE = 0o700;
const EPOCH: Time = { seconds: 0, nanoseconds: 0 };
const UNDESCRIBED: Attributes = {
  type: 'directory',
  major: 0,
  minor: 0,
  mode: USUAL_MODE,
  uid: 0,
  gid: 0,
  mtime: EPOCH,
  xattrs: new Map(),
};

export class Directory {
  readonly parent: Directory | undefined;
  readonly name: string;
  readonly children = new Map<string, Directory>();
  attributes: Attributes = UNDESCRIBED;
  /** It hides the directory of the same name in the layers below. */
  isOpaque = false;
  /** Names that whiteouts of this layer delete in the layers below. */
  readonly hidden = new Set<string>();

  constructor(parent: Directory | undefined, name: string) {
    this.parent = parent;
    this.name = name;
  }
}

/** A component of a path is not a directory. */
export class NotDirectory extends Error {
  constructor(
    readonly component: string,
    readonly kind: 'not a directory' | 'a loop of symlinks' | 'a whiteout',
  ) {
    super(component);
  }
}

/** Of an entry in a directory, from the layer's root. */
const pathOf = (directory: Directory, name: string): string => [...namesOf(directory), name].join('/');

function namesOf(directory: Directory): string[] {
  const names: string[] = [];
  for (let at = directory; at.parent !== undefined; at = at.parent) names.push(at.name);
  return names.reverse();
}

export class Directories {
  readonly root = new Directory(undefined, '');
  /** The number of directories without an entry. */
  implied = 0;
  /** The result depends on the layers below. */
  leansOnBelow = false;
  readonly #rootFd: number;
  readonly #open = new LRUCache<Directory, number>({ max: OPEN_DIRECTORIES, dispose: (fd) => close(fd) });

  /** @param keep the xattr that stores owners; undefined if inodes do */
  constructor(
    rootFd: number,
    readonly keep: OverrideXattr | undefined,
    readonly below: LayersBelow,
  ) {
    this.#rootFd = rootFd;
  }

  close(): void {
    this.#open.clear();
    close(this.#rootFd);
    this.below.close();
  }

  /** A descriptor of a directory; it may be closed by the next call for another one. */
  fd(directory: Directory): number {
    const way: Directory[] = [];
    let fd: number | undefined;
    for (let at = directory; ; at = at.parent) {
      fd = at.parent === undefined ? this.#rootFd : this.#open.get(at);
      if (fd !== undefined || at.parent === undefined) break;
      way.push(at);
    }
    for (let next = way.pop(); next !== undefined; next = way.pop()) {
      fd = openat(fd ?? this.#rootFd, next.name, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
      this.#open.set(next, fd);
    }
    return fd ?? this.#rootFd;
  }

  /** The directory at a path of this layer; undefined if there is none. Throws NotDirectory. */
  find(path: readonly string[]): Directory | undefined {
    return this.#walk(path, () => undefined);
  }

  /** The directory at a path, created if it is missing. Throws NotDirectory. */
  reach(path: readonly string[]): Directory {
    return this.#walk(path, (parent, name) => {
      this.#refuseOther(parent, name);
      this.implied += 1;
      return this.make(parent, name);
    });
  }

  /**
   * Symlinks of this layer are followed as if its root were "/", by their text alone.
   * @param missing returns the directory to use for a missing one
   */
  #walk<T extends Directory | undefined>(
    path: readonly string[],
    missing: (parent: Directory, name: string) => T,
  ): Directory | T {
    const rest = [...path].reverse();
    let at = this.root;
    let links = 0;
    for (let name = rest.pop(); name !== undefined; name = rest.pop()) {
      if (name === '' || name === '.') continue;
      if (name === '..') {
        at = at.parent ?? at;
        continue;
      }
      const target = this.#targetOf(at, name);
      if (target === undefined) {
        const next = at.children.get(name) ?? missing(at, name);
        if (next === undefined) return next;
        at = next;
      } else {
        links += 1;
        if (links > MAX_LINKS) throw new NotDirectory(pathOf(at, name), 'a loop of symlinks');
        if (target.startsWith('/')) at = this.root;
        rest.push(...target.split('/').reverse());
      }
    }
    return at;
  }

  /** The target of a symlink; undefined for other entries. */
  #targetOf(parent: Directory, name: string): string | undefined {
    if (parent.children.has(name)) return undefined;
    const place = { dirfd: this.fd(parent), name };
    const stat = statat(place.dirfd, name);
    if (stat === undefined || !isSymlink(recorded(this.keep, place, stat).mode)) return undefined;
    return linkTarget(place);
  }

  /** Throws if `name` exists; whiteouts are allowed, because they only concern the layers below. */
  #refuseOther(parent: Directory, name: string): void {
    if (isDotName(name)) throw new NotDirectory(pathOf(parent, name), 'a whiteout');
    const stat = statat(this.fd(parent), name);
    if (stat === undefined || (parent.hidden.has(name) && isWhiteoutDevice(stat))) return;
    throw new NotDirectory(pathOf(parent, name), 'not a directory');
  }

  /** Creates the directory `name`, and removes another entry of this name. */
  make(parent: Directory, name: string): Directory {
    const known = parent.children.get(name);
    if (known !== undefined) return known;
    this.replacing(parent, name, (dirfd) => mkdirat(dirfd, name, PRIVATE));
    const made = new Directory(parent, name);
    parent.children.set(name, made);
    if (parent.hidden.has(name)) this.hideAll(made);
    return made;
  }

  /** Creates an entry, and removes an existing one of this name. */
  replacing(parent: Directory, name: string, make: (dirfd: number) => void): void {
    const made = unless([E.EEXIST], () => {
      make(this.fd(parent));
      return true;
    });
    if (made === true) return;
    this.#remove(parent, name);
    make(this.fd(parent));
  }

  #remove(parent: Directory, name: string): void {
    const directory = parent.children.get(name);
    if (directory !== undefined) this.#forget(directory);
    parent.children.delete(name);
    removeTree(this.fd(parent), name);
  }

  /** Closes the descriptors of a directory and of its descendants. */
  #forget(directory: Directory): void {
    const gone = [directory];
    for (let next = gone.pop(); next !== undefined; next = gone.pop()) {
      this.#open.delete(next);
      for (const child of next.children.values()) gone.push(child);
    }
  }

  /** Deletes a name in the layers below: by a whiteout, or, if this layer has a directory, by making it opaque. */
  hide(parent: Directory, name: string): void {
    parent.hidden.add(name);
    const directory = parent.children.get(name);
    const dirfd = this.fd(parent);
    if (directory !== undefined) this.hideAll(directory);
    else if (statat(dirfd, name) === undefined) whiteOut(dirfd, name);
  }

  /** Whether this layer deletes a path of the layers below, or has an entry there. */
  covers(path: readonly string[]): boolean {
    let at = this.root;
    for (const name of path) {
      if (at.isOpaque || at.hidden.has(name)) return true;
      const next = at.children.get(name);
      if (next === undefined) return statat(this.fd(at), name) !== undefined;
      at = next;
    }
    return false;
  }

  /** Hides all entries of a directory in the layers below. */
  hideAll(directory: Directory): void {
    directory.isOpaque = true;
    const dirfd = this.fd(directory);
    const marked = OVERLAY_PREFIXES.some((prefix) =>
      unless(MARK_REFUSED, () => {
        markOpaque(prefix, dirfd, '');
        return true;
      }),
    );
    if (!marked) makeMark(dirfd, DOT_OPAQUE);
  }

  /** Sets the attributes of all directories, innermost first. @returns the number of refused ones */
  finish(): number {
    this.#open.clear();
    const descent = new Descent(this.#rootFd);
    const begin = (directory: Directory, isAlone: boolean) => ({
      directory,
      isAlone,
      rest: directory.children.values(),
    });
    const unfinished = [begin(this.root, false)];
    let skipped = 0;
    try {
      for (let at = unfinished.at(-1); at !== undefined; at = unfinished.at(-1)) {
        const { directory, isAlone } = at;
        const { done, value: child } = at.rest.next();
        if (done !== true) {
          descent.enter(child.name);
          unfinished.push(begin(child, isAlone || directory.isOpaque || directory.hidden.has(child.name)));
          continue;
        }
        if (directory !== this.root) descent.leave(); // before its mode forbids it
        const attributes = this.#attributesOf(directory, isAlone);
        skipped += applyAttributes(descent.fd, directory.name, attributes, this.keep);
        unfinished.pop();
      }
    } finally {
      descent.close();
    }
    return skipped;
  }

  /** A layer without an entry for its root depends on the root below, which nearly always has default attributes. */
  #attributesOf(directory: Directory, isAlone: boolean): Attributes {
    const { attributes } = directory;
    if (attributes !== UNDESCRIBED || isAlone) return attributes;
    const path = namesOf(directory);
    const inherited = this.below.directory(path);
    const isUsualRoot = path.length === 0 && (inherited === undefined || isUsual(inherited));
    if (isUsualRoot) return UNDESCRIBED;
    this.leansOnBelow = true;
    return inherited ?? UNDESCRIBED;
  }
}

/** Creates a whiteout: a 0/0 device, or a `.wh.` file if devices are not permitted. */
function whiteOut(dirfd: number, name: string): void {
  const made = unless([E.EPERM], () => {
    makeWhiteoutDevice(dirfd, name);
    return true;
  });
  if (made === true) {
    utimensat(dirfd, name, EPOCH, EPOCH);
    return;
  }
  if (DOT_WHITEOUT.length + name.length > NAME_MAX) throw new Errno(E.ENAMETOOLONG, 'openat');
  makeMark(dirfd, DOT_WHITEOUT + name);
}

function makeMark(dirfd: number, name: string): void {
  close(openat(dirfd, name, O.WRONLY | O.CREAT | O.NOFOLLOW, 0o644));
  utimensat(dirfd, name, EPOCH, EPOCH);
}
