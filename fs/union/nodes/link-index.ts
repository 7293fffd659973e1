/**
 * The index: hard links of lower files survive copy-up.
 *
 * Rules: a lower file with several names is copied up once, to `work/index` under the hex of its origin; names in
 * upper are links to it, and a name that only a lower layer holds leads there too. The number of names in the union
 * is kept in `overlay.nlink` relative to the lower ("L+n") or upper ("U+n") inode's own count, so that an operation
 * that changes both by one keeps it true. The format is overlayfs' (index=on). Compare ovl_get_index_name,
 * ovl_get_nlink and ovl_set_nlink_upper in fs/overlayfs.
 */
import { O } from '../../sys/constants.js';
import { E, Errno } from '../../sys/errno.js';
import type { Stat } from '../../sys/stat.js';
import {
  close,
  getxattrat,
  linkat,
  readDirectory,
  setxattrat,
  statat,
  tryOpenat,
  unlinkat,
} from '../../sys/syscalls.js';
import { type Layer, LayerDirectory } from '../layers/layer.js';
import { type OverlayPrefix, PRIVILEGED_PREFIX } from '../layers/marks.js';
import { encodeOrigin, originsAreUnique } from '../layers/origin.js';
import { openPrivate, type Work } from '../layers/work.js';
import { finish } from '../rules/finish.js';
import { FileNode, type IndexEntry, type Node } from './node.js';

export const INDEX = 'index';

/** How many names an inode has in the union: those that upper does not hold are counted nowhere else. */
export const linksOf = (node: Node, { nlink }: Stat): number =>
  node instanceof FileNode && node.index !== undefined ? nlink + node.index.offset : nlink;

/** The value of `overlay.nlink` of a file whose only link is in the index. */
const NO_NAMES = Buffer.from('U-1');
const UPPER_XATTR = 'trusted.overlay.upper';

/** Whether the index of a work directory belongs to `upper`, or to no upper yet; undefined if upper has no file handle. */
export function indexBelongsTo(upper: Layer, workFd: number): boolean | undefined {
  const own = encodeOrigin(upper, upper.rootFd, '');
  const recorded = getxattrat(workFd, INDEX, UPPER_XATTR);
  return own && (recorded === undefined || own.equals(recorded));
}

/** Whether every lower file has a handle that leads to it alone. */
const areNameable = (layers: readonly Layer[]): boolean =>
  originsAreUnique(layers) &&
  layers.every((layer) => layer.isUpper || encodeOrigin(layer, layer.rootFd, '') !== undefined);

export class LinkIndex {
  readonly directory: LayerDirectory;
  readonly #prefix: OverlayPrefix;

  /** Opens the index; undefined where lower files cannot be named by handles. */
  static open(workFd: number, layers: readonly Layer[], work: Work): LinkIndex | undefined {
    const [upper] = layers;
    if (upper === undefined || !work.isPrivileged || !areNameable(layers)) return undefined; // nor has the kernel one
    const index = new LinkIndex(upper, openPrivate(workFd, INDEX), work.xattrPrefix);
    index.#recordUpper(upper);
    finish('cleaning up the index', () => index.#removeOrphans());
    return index;
  }

  /** The index for read-only access; undefined if there is none, or it belongs to another upper. */
  static look(workFd: number, layers: readonly Layer[]): LinkIndex | undefined {
    const [upper] = layers;
    if (upper?.isUpper !== true || !areNameable(layers)) return undefined;
    const fd = tryOpenat(workFd, INDEX, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
    if (fd < 0) return undefined;
    if (indexBelongsTo(upper, workFd) === true) return new LinkIndex(upper, fd, PRIVILEGED_PREFIX);
    close(fd);
    return undefined;
  }

  private constructor(upper: Layer, fd: number, prefix: OverlayPrefix) {
    this.directory = new LayerDirectory(upper, undefined, INDEX);
    this.directory.pinned = fd;
    this.#prefix = prefix;
  }

  /** Removes what an interrupted operation has left without a name (ovl_indexdir_cleanup). */
  #removeOrphans(): void {
    for (const { name } of readDirectory(this.fd)) {
      const isAlone = statat(this.fd, name)?.nlink === 1;
      if (isAlone && getxattrat(this.fd, name, this.#nlinkXattr)?.equals(NO_NAMES)) unlinkat(this.fd, name);
    }
  }

  /** Records the upper that the index belongs to; `indexBelongsTo` checks it before the next mount. */
  #recordUpper(upper: Layer): void {
    const handle = encodeOrigin(upper, upper.rootFd, '');
    if (handle !== undefined && getxattrat(this.fd, '', UPPER_XATTR) === undefined) {
      setxattrat(this.fd, '', UPPER_XATTR, handle);
    }
  }

  get fd(): number {
    return this.directory.pinned;
  }

  /** The name under which a lower inode is indexed. */
  nameOf(origin: Buffer): string {
    return origin.toString('hex');
  }

  /** The copy of a lower file, if it has been copied up under any of its names. */
  find(layer: Layer, dirfd: number, name: string): { name: string; stat: Stat } | undefined {
    const origin = encodeOrigin(layer, dirfd, name);
    if (origin === undefined) return undefined;
    const indexed = this.nameOf(origin);
    const stat = statat(this.fd, indexed);
    return stat && { name: indexed, stat };
  }

  /** The entry of an inode in the index, given its lower inode's link count. */
  entry(name: string, stat: Stat, lowerLinks: number): IndexEntry {
    const stored = getxattrat(this.fd, name, this.#nlinkXattr)?.toString('latin1') ?? '';
    const [, base, difference] = /^([LU])([+-]\d+)$/.exec(stored) ?? [];
    if (base === undefined) return { name, lowerLinks, offset: 0 };
    const links = (base === 'L' ? lowerLinks : stat.nlink) + Number(difference);
    return { name, lowerLinks, offset: links - stat.nlink };
  }

  get #nlinkXattr(): string {
    return `${this.#prefix}nlink`;
  }

  /** What a copy that is staged for the index must carry: the union has as many names as the lower inode. */
  prepare(dirfd: number, name: string): void {
    this.#setNlink(dirfd, name, 'L', 0);
  }

  /** Stores the union's count relative to upper's: true before and after an operation that changes both alike. */
  pinCount(node: FileNode): void {
    if (node.index !== undefined) this.#setNlink(this.fd, node.index.name, 'U', node.index.offset);
  }

  /** Gives the copy a name in upper that the union has already: upper's count grows, the union's does not. */
  alias(node: FileNode, dirfd: number, name: string): void {
    const entry = node.index;
    if (entry === undefined) throw new Error('an alias of a file that is not indexed');
    const stat = statat(this.fd, entry.name);
    if (stat === undefined) throw new Errno(E.EIO, 'index');
    this.#setNlink(this.fd, entry.name, 'L', stat.nlink + entry.offset - entry.lowerLinks);
    linkat(this.fd, entry.name, dirfd, name);
    entry.offset -= 1;
    finish('storing a link count', () => this.pinCount(node)); // who changes the count next stores it first
  }

  /** Removes the entry of a file that has lost its last name. */
  remove(entry: IndexEntry): void {
    unlinkat(this.fd, entry.name);
  }

  #setNlink(dirfd: number, name: string, base: 'L' | 'U', difference: number): void {
    const text = `${base}${difference < 0 ? '' : '+'}${difference}`;
    setxattrat(dirfd, name, this.#nlinkXattr, Buffer.from(text));
  }
}
