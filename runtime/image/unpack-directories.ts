/**
 * The directories of a layer that is being unpacked.
 *
 * Rules: the tree is kept in memory, so what is no directory of this layer is never entered; on disk it is reached one
 * component at a time from the root's descriptor, never through a symlink. Attributes of directories are set at the
 * end, innermost first: by then nothing changes their times, and no default ACL reaches their contents. A directory
 * that no entry describes is 0755, root's, from 1970: the same archive gives the same tree everywhere.
 */
import { LRUCache } from 'lru-cache';
import { AT, NAME_MAX, O, S } from '../../fs/sys/constants.js';
import { E, Errno, unless } from '../../fs/sys/errno.js';
import { isWhiteoutDevice, type Time } from '../../fs/sys/stat.js';
import { close, mkdirat, openat, readDirectory, statat, unlinkat, utimensat } from '../../fs/sys/syscalls.js';
import type { OverrideXattr } from '../../fs/union/ownership.js';
import {
  DOT_OPAQUE,
  DOT_WHITEOUT,
  MARK_REFUSED,
  makeWhiteoutDevice,
  markOpaque,
  OVERLAY_PREFIXES,
} from '../../fs/union/whiteout.js';
import { type Attributes, applyAttributes } from './unpack-attributes.js';

const OPEN_DIRECTORIES = 128;
/** Until its attributes are set, a directory is the unpacker's alone. */
const PRIVATE = 0o700;
const EPOCH: Time = { seconds: 0, nanoseconds: 0 };
const UNDESCRIBED: Attributes = {
  type: 'directory',
  major: 0,
  minor: 0,
  mode: 0o755,
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
  /** Names here that whiteouts hide in the layers below, whatever this layer holds under them. */
  readonly hidden = new Set<string>();

  constructor(parent: Directory | undefined, name: string) {
    this.parent = parent;
    this.name = name;
  }
}

/** A component of a path is something else than a directory; `kind` tells what. */
export class NotDirectory extends Error {
  constructor(
    readonly component: string,
    readonly isSymlink: boolean,
  ) {
    super(component);
  }
}

export class Directories {
  readonly root = new Directory(undefined, '');
  /** How many directories were made that no entry describes. */
  implied = 0;
  readonly #rootFd: number;
  readonly #open = new LRUCache<Directory, number>({ max: OPEN_DIRECTORIES, dispose: (fd) => close(fd) });

  /** @param keep the attribute that keeps owners here; undefined where inodes do */
  constructor(
    rootFd: number,
    readonly keep: OverrideXattr | undefined,
  ) {
    this.#rootFd = rootFd;
  }

  close(): void {
    this.#open.clear();
    close(this.#rootFd);
  }

  /** A descriptor of a directory; asking for others may close it. */
  fd(directory: Directory): number {
    if (directory.parent === undefined) return this.#rootFd;
    const known = this.#open.get(directory);
    if (known !== undefined) return known;
    const fd = openat(this.fd(directory.parent), directory.name, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
    this.#open.set(directory, fd);
    return fd;
  }

  /** The directory at a path of this layer; undefined if there is none. */
  find(path: readonly string[]): Directory | undefined {
    return path.reduce<Directory | undefined>((at, name) => at?.children.get(name), this.root);
  }

  /** The directory at a path, made where it is missing. Throws NotDirectory. */
  reach(path: readonly string[]): Directory {
    let at = this.root;
    for (const [depth, name] of path.entries()) {
      const known = at.children.get(name);
      if (known === undefined) {
        this.#refuseOther(at, path.slice(0, depth + 1));
        this.implied += 1;
      }
      at = known ?? this.make(at, name);
    }
    return at;
  }

  /** What lies in the way of a directory must be nothing, or a whiteout, which only concerns the layers below. */
  #refuseOther(parent: Directory, path: readonly string[]): void {
    const name = path.at(-1) ?? '';
    const stat = statat(this.fd(parent), name);
    if (stat === undefined || (parent.hidden.has(name) && isWhiteoutDevice(stat))) return;
    throw new NotDirectory(path.join('/'), (stat.mode & S.IFMT) === S.IFLNK);
  }

  /** The directory `name`, in place of whatever else has the name. */
  make(parent: Directory, name: string): Directory {
    const known = parent.children.get(name);
    if (known !== undefined) return known;
    this.replacing(parent, name, (dirfd) => mkdirat(dirfd, name, PRIVATE));
    const made = new Directory(parent, name);
    parent.children.set(name, made);
    if (parent.hidden.has(name)) this.hideAll(made);
    return made;
  }

  /** Makes an entry; what has the name already goes. */
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
    if (directory === undefined) {
      unlinkat(this.fd(parent), name);
      return;
    }
    for (const inside of readDirectory(this.fd(directory))) this.#remove(directory, inside.name);
    this.#open.delete(directory);
    parent.children.delete(name);
    unlinkat(this.fd(parent), name, AT.REMOVEDIR);
  }

  /** Hides a name in the layers below: by a whiteout, or, where this layer has a directory, by making it opaque. */
  hide(parent: Directory, name: string): void {
    parent.hidden.add(name);
    const directory = parent.children.get(name);
    const dirfd = this.fd(parent);
    if (directory !== undefined) this.hideAll(directory);
    else if (statat(dirfd, name) === undefined) whiteOut(dirfd, name);
  }

  /** Hides all that the layers below hold in a directory. */
  hideAll(directory: Directory): void {
    const dirfd = this.fd(directory);
    const marked = OVERLAY_PREFIXES.some((prefix) =>
      unless(MARK_REFUSED, () => {
        markOpaque(prefix, dirfd, '');
        return true;
      }),
    );
    if (!marked) makeMark(dirfd, DOT_OPAQUE);
  }

  /** Sets the attributes of all directories; the number of those that were refused. */
  finish(directory = this.root): number {
    let skipped = 0;
    for (const child of directory.children.values()) skipped += this.finish(child);
    skipped += applyAttributes(this.fd(directory), '', directory.attributes, this.keep);
    this.#open.delete(directory);
    return skipped;
  }
}

/** Where devices are refused, a file in the form that the union reads as well. */
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
