/**
 * Copies what a union shows into a plain directory: for hosts where nothing can be mounted, and for comparing.
 *
 * Rules: the copy is what the mount would show, byte for byte: owners, modes, times, xattrs, holes, and which names are
 * one file. Data shares its extents with the layers where the filesystem can. Descriptors are followed, never paths.
 */
import { AT, O } from '../../sys/constants.js';
import { Descent } from '../../sys/descent.js';
import { toBytes } from '../../sys/path-bytes.js';
import { isRegular, type Stat } from '../../sys/stat.js';
import { close, fstat, linkat, mkdirat, openat } from '../../sys/syscalls.js';
import type { OverrideXattr } from '../layers/owner-xattrs.js';
import { below, namesOf, type Trail } from '../layers/trail.js';
import { find } from '../nodes/lookup.js';
import { DirectoryNode, type FileNode } from '../nodes/node.js';
import { locate, recordedOf } from '../nodes/place.js';
import { listingOf } from '../nodes/readdir.js';
import type { Union } from '../nodes/union.js';
import {
  copyFileData,
  copyMode,
  copyOwner,
  copyTimes,
  copyXattrs,
  createEmpty,
  type Source,
} from '../owners/copy-entry.js';
import { escapeXattr } from '../owners/xattr-names.js';
import { type ViewedStack, viewOf } from './view.js';

const PRIVATE = 0o700;

/**
 * Fills an empty directory with what `view` shows.
 * @param to an open descriptor of the directory
 * @param override the attribute to keep owners and modes in, as a layer does that nobody needs privileges for
 */
export function flatten(view: Union, to: number, override?: OverrideXattr): void {
  const flattening = new Flattening(view, to, override);
  try {
    flattening.run();
  } finally {
    flattening.close();
  }
}

/** The same for what a stack of layers shows. @param directory a path */
export function flattenStack(stack: ViewedStack, directory: string): void {
  const view = viewOf(stack);
  try {
    const to = openat(AT.FDCWD, toBytes(directory), O.RDONLY | O.DIRECTORY);
    try {
      flatten(view, to);
    } finally {
      close(to);
    }
  } finally {
    view.close();
  }
}

/** A directory that is being copied. */
interface Copied {
  readonly node: DirectoryNode;
  readonly trail: Trail | undefined;
  readonly names: Iterator<string>;
}

class Flattening {
  readonly #view: Union;
  readonly #root: number;
  readonly #descent: Descent;
  readonly #override: OverrideXattr | undefined;
  /** Where files with several names were copied to. */
  readonly #linked = new Map<FileNode, Trail>();

  constructor(view: Union, root: number, override: OverrideXattr | undefined) {
    this.#view = view;
    this.#root = root;
    this.#descent = new Descent(root);
    this.#override = override;
  }

  close(): void {
    this.#descent.close();
  }

  run(): void {
    const way = [this.#begin(this.#view.root, undefined)];
    for (let at = way.at(-1); at !== undefined; at = way.at(-1)) {
      const next = at.names.next();
      if (next.done === true) {
        this.#end(at.node);
        way.pop();
        continue;
      }
      const trail = below(at.trail, next.value);
      const found = find(this.#view, at.node, next.value);
      if (found?.node instanceof DirectoryNode) {
        mkdirat(this.#descent.fd, next.value, PRIVATE);
        this.#descent.enter(next.value);
        way.push(this.#begin(found.node, trail));
      } else if (found !== undefined) this.#file(found.node as FileNode, found.stat, trail);
    }
  }

  /** A directory stays known while what it holds comes and goes. */
  #begin(node: DirectoryNode, trail: Trail | undefined): Copied {
    node.lookups += 1;
    const names = [...listingOf(this.#view, node).names()].map(({ name }) => name);
    return { node, trail, names: names.values() };
  }

  #end(node: DirectoryNode): void {
    const { dirfd, name } = locate(this.#view, node);
    const stat = recordedOf(this.#view, node, fstat(dirfd));
    this.#finish({ directory: node.top, dirfd, name, stat, needed: 0 }, this.#descent.fd, '');
    node.lookups -= 1;
    if (node === this.#view.root) return;
    this.#descent.leave();
    this.#view.nodes.drop(node);
  }

  #file(node: FileNode, inode: Stat, trail: Trail): void {
    const stat = recordedOf(this.#view, node, inode);
    const { name } = trail;
    const to = this.#descent.fd;
    const first = this.#linked.get(node);
    if (first !== undefined) {
      this.#link(first, to, name);
      return;
    }
    const { directory, name: from } = node.home;
    const dirfd = this.#view.handles.directory(directory);
    const source = { directory, dirfd, name: from, stat, needed: Number.POSITIVE_INFINITY };
    const fd = createEmpty(source, to, name, this.#override);
    try {
      if (isRegular(stat.mode)) copyFileData(source, fd);
    } finally {
      if (fd >= 0) close(fd);
    }
    this.#finish(source, to, name);
    if (stat.nlink > 1 || node.index !== undefined) this.#linked.set(node, trail);
    else this.#view.nodes.drop(node);
  }

  #finish(source: Source, dirfd: number, name: string): void {
    copyOwner(source, dirfd, name, this.#override);
    const rename = (attribute: string): string =>
      this.#override ? escapeXattr(attribute, this.#override) : attribute;
    copyXattrs(source, dirfd, name, rename, this.#override);
    copyMode(source, dirfd, name, this.#override);
    copyTimes(source, dirfd, name);
  }

  #link(first: Trail, to: number, name: string): void {
    let fd = openat(this.#root, '.', O.PATH | O.DIRECTORY);
    for (const parent of namesOf(first.parent)) {
      const next = openat(fd, parent, O.PATH | O.DIRECTORY | O.NOFOLLOW);
      close(fd);
      fd = next;
    }
    linkat(fd, first.name, to, name);
    close(fd);
  }
}
