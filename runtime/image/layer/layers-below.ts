/**
 * The merged view of the layers below one that is being unpacked.
 *
 * Rule: these layers are never changed. A layer depends on them in two cases: a hard link to one of their files, which is
 * then copied as by a copy-up; and a directory that has no entry of its own, which keeps the attributes of the directory
 * below. containerd and docker's vfs driver unpack a layer on a mount of those below, which handles both cases.
 */

import { viewOf } from '../../../fs/index.js';
import { linkTarget, unescapeXattr } from '../../../fs/layers.js';
import {
  copyFileData,
  DirectoryNode,
  type FileNode,
  find,
  kindOf,
  layerOf,
  locate,
  type Node,
  recordedOf,
  statOf,
  type Union,
} from '../../../fs/offline.js';
import { S } from '../../../fs/sys/constants.js';
import { isDirectory, isSymlink, type Stat } from '../../../fs/sys/stat.js';
import { getxattrat, listxattrat } from '../../../fs/sys/syscalls.js';
import type { Attributes } from './unpack-attributes.js';

/** As many as the kernel follows (path_resolution(7)). */
const MAX_LINKS = 40;
/** Mode of a directory without an entry. */
export const USUAL_MODE = 0o755;
const PERMISSIONS = 0o7777;

/** An entry that is not a directory. */
export interface FileBelow extends Attributes {
  /** Its path, with symlinks resolved. */
  readonly path: readonly string[];
  /** Bytes of a regular file. */
  readonly size: number;
  /** Of a symlink. */
  readonly linkName: string;
  /** Copies a regular file's data. */
  copyTo(fd: number): void;
}

export class LayersBelow {
  readonly #layers: readonly string[];
  #view: Union | undefined;

  /** @param layers absolute paths, the top one first */
  constructor(layers: readonly string[]) {
    this.#layers = layers;
  }

  close(): void {
    this.#view?.close();
  }

  get #union(): Union {
    this.#view ??= viewOf({ lowers: this.#layers });
    return this.#view;
  }

  /** The attributes of a directory; undefined if there is none. Symlinks are not followed. */
  directory(path: readonly string[]): Attributes | undefined {
    if (this.#layers.length === 0) return undefined;
    let node: Node | undefined = this.#union.root;
    for (const name of path) {
      if (!(node instanceof DirectoryNode)) return undefined;
      node = find(this.#union, node, name)?.node;
    }
    return node instanceof DirectoryNode ? this.#attributes(node, this.#stat(node)) : undefined;
  }

  /** The entry at a path, if it is not a directory; symlinks before the last component are resolved inside the root. */
  file(path: readonly string[]): FileBelow | undefined {
    if (this.#layers.length === 0) return undefined;
    const rest = [...path].reverse();
    const at: { node: DirectoryNode; name: string }[] = [{ node: this.#union.root, name: '' }];
    for (let links = 0; links <= MAX_LINKS; ) {
      const name = rest.pop();
      if (name === undefined) return undefined; // a directory
      if (name === '' || name === '.') continue;
      if (name === '..') {
        if (at.length > 1) at.pop();
        continue;
      }
      const parent = at.at(-1)?.node as DirectoryNode;
      const node = find(this.#union, parent, name)?.node;
      if (node === undefined) return undefined;
      if (node instanceof DirectoryNode) {
        at.push({ node, name });
        continue;
      }
      const stat = this.#stat(node);
      const real = [...at.slice(1).map((step) => step.name), name];
      if (rest.length === 0) return this.#file(node, stat, real);
      if (!isSymlink(stat.mode)) return undefined;
      links += 1;
      const target = linkTarget(locate(this.#union, node)) ?? '';
      if (target.startsWith('/')) at.length = 1;
      rest.push(...target.split('/').reverse());
    }
    return undefined;
  }

  #stat(node: Node): Stat {
    return recordedOf(this.#union, node, statOf(this.#union, node));
  }

  #file(node: FileNode, stat: Stat, path: readonly string[]): FileBelow {
    return {
      ...this.#attributes(node, stat),
      path,
      size: kindOf(stat) === 'file' ? Number(stat.size) : 0,
      linkName: isSymlink(stat.mode) ? (linkTarget(locate(this.#union, node)) ?? '') : '',
      copyTo: (fd) => {
        const { directory, name } = node.home;
        const dirfd = this.#union.handles.directory(directory);
        copyFileData({ directory, name, dirfd, stat, needed: Number.POSITIVE_INFINITY }, fd);
      },
    };
  }

  #attributes(node: Node, stat: Stat): Attributes {
    const { dirfd, name } = locate(this.#union, node);
    const { override } = layerOf(node);
    const xattrs = new Map<string, Buffer>();
    for (const attribute of listxattrat(dirfd, name)) {
      const seen = unescapeXattr(attribute, override);
      const value = seen === undefined ? undefined : getxattrat(dirfd, name, attribute);
      if (seen !== undefined && value !== undefined) xattrs.set(seen, Buffer.from(value));
    }
    const { uid, gid, mtime, rdevMajor, rdevMinor, mode } = stat;
    return {
      type: typeOf(mode),
      mode: mode & PERMISSIONS,
      uid,
      gid,
      mtime,
      major: rdevMajor,
      minor: rdevMinor,
      xattrs,
    };
  }
}

/** Whether the root directory of these layers has default attributes. */
export function hasUsualRoot(layers: readonly string[]): boolean {
  const below = new LayersBelow(layers);
  try {
    const root = below.directory([]);
    return root === undefined || isUsual(root);
  } finally {
    below.close();
  }
}

/** Whether a directory has the attributes of one without an entry, apart from its time. */
export const isUsual = ({ mode, uid, gid, xattrs }: Attributes): boolean =>
  mode === USUAL_MODE && uid === 0 && gid === 0 && xattrs.size === 0;

const TYPES: Readonly<Record<number, Attributes['type']>> = {
  [S.IFREG]: 'file',
  [S.IFLNK]: 'symlink',
  [S.IFCHR]: 'character',
  [S.IFBLK]: 'block',
  [S.IFIFO]: 'fifo',
};

const typeOf = (mode: number): Attributes['type'] =>
  isDirectory(mode) ? 'directory' : (TYPES[mode & S.IFMT] ?? 'file');
