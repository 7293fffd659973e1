/**
 * Copies what a union shows into a plain directory: for hosts where nothing can be mounted, and for comparing.
 *
 * Rules: the copy is what the mount would show, byte for byte: owners, modes, times, xattrs, holes, and which names are
 * one file. Data shares its extents with the layers where the filesystem can. Descriptors are followed, never paths.
 */
import { O } from '../sys/constants.js';
import { isRegular, type Stat } from '../sys/stat.js';
import { close, fstat, linkat, mkdirat, openat } from '../sys/syscalls.js';
import {
  copyFileData,
  copyMode,
  copyOwner,
  copyTimes,
  copyXattrs,
  createEmpty,
  type Source,
} from './copy-entry.js';
import { find } from './lookup.js';
import { DirectoryNode, type FileNode } from './node.js';
import type { OverrideXattr } from './ownership.js';
import { locate, recordedOf } from './place.js';
import { listingOf } from './readdir.js';
import type { Union } from './state.js';
import { escapeXattr } from './xattr.js';

const PRIVATE = 0o700;

/**
 * Fills an empty directory with what `view` shows.
 * @param to an open descriptor of the directory
 * @param keep the attribute to keep owners and modes in, as a layer does that nobody needs privileges for
 */
export function flatten(view: Union, to: number, keep?: OverrideXattr): void {
  new Flattening(view, to, keep).directory(view.root, to, []);
}

class Flattening {
  readonly #view: Union;
  readonly #root: number;
  readonly #keep: OverrideXattr | undefined;
  /** Where files with several names were copied to: names from the root. */
  readonly #linked = new Map<FileNode, readonly string[]>();

  constructor(view: Union, root: number, keep: OverrideXattr | undefined) {
    this.#view = view;
    this.#root = root;
    this.#keep = keep;
  }

  /** @param path the names that lead to the directory `to` */
  directory(node: DirectoryNode, to: number, path: readonly string[]): void {
    for (const { name } of [...listingOf(this.#view, node).names()]) {
      const found = find(this.#view, node, name);
      if (found?.node instanceof DirectoryNode) this.#subdirectory(found.node, to, [...path, name]);
      else if (found !== undefined) this.#file(found.node as FileNode, found.stat, to, [...path, name]);
    }
    const { dirfd, name } = locate(this.#view, node);
    const stat = recordedOf(this.#view, node, fstat(dirfd));
    this.#finish({ directory: node.top, dirfd, name, stat, keep: 0 }, to, '');
  }

  #subdirectory(node: DirectoryNode, dirfd: number, path: readonly string[]): void {
    const name = path.at(-1) as string;
    mkdirat(dirfd, name, PRIVATE);
    const fd = openat(dirfd, name, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
    try {
      this.directory(node, fd, path);
    } finally {
      close(fd);
    }
    this.#view.drop(node);
  }

  #file(node: FileNode, inode: Stat, to: number, path: readonly string[]): void {
    const stat = recordedOf(this.#view, node, inode);
    const name = path.at(-1) as string;
    const first = this.#linked.get(node);
    if (first !== undefined) {
      this.#link(first, to, name);
      return;
    }
    const { directory, name: from } = node.home;
    const dirfd = this.#view.handles.directory(directory);
    const source = { directory, dirfd, name: from, stat, keep: Number.POSITIVE_INFINITY };
    const fd = createEmpty(source, to, name, this.#keep);
    try {
      if (isRegular(stat.mode)) copyFileData(source, fd);
    } finally {
      if (fd >= 0) close(fd);
    }
    this.#finish(source, to, name);
    if (stat.nlink > 1) this.#linked.set(node, path);
    else this.#view.drop(node);
  }

  #finish(source: Source, dirfd: number, name: string): void {
    copyOwner(source, dirfd, name, this.#keep);
    const rename = (attribute: string): string =>
      this.#keep ? escapeXattr(attribute, this.#keep) : attribute;
    copyXattrs(source, dirfd, name, rename, this.#keep);
    copyMode(source, dirfd, name, this.#keep);
    copyTimes(source, dirfd, name);
  }

  #link(first: readonly string[], to: number, name: string): void {
    let fd = openat(this.#root, '.', O.PATH | O.DIRECTORY);
    for (const parent of first.slice(0, -1)) {
      const next = openat(fd, parent, O.PATH | O.DIRECTORY | O.NOFOLLOW);
      close(fd);
      fd = next;
    }
    linkat(fd, first.at(-1) as string, to, name);
    close(fd);
  }
}
