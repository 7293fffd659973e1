/**
 * Directories become tar streams: a whole tree for `export`, a union's changes for `commit`.
 *
 * Rules:
 * - Names are sorted by their bytes, a directory before its contents: the same files give the same archive.
 * - Changes are what upper holds; its lower layers are only read below directories that were renamed. Whiteouts become
 *   `.wh.NAME`, opaque directories get `.wh..wh..opq` (OCI image-spec layer.md). A layer has no form for a renamed
 *   directory: it is written whole, and opaque. The union's own attributes are left out, escaped ones unescaped.
 * - Names of one inode in upper are hard links of each other. A name that only a lower layer holds is not written, so a
 *   hard link between the two ends there, as with docker.
 *
 * Compare ExportChanges in moby's pkg/archive/changes.go.
 */
import { posix } from 'node:path';
import type { Readable } from 'node:stream';
import { UsageError } from '../../fs/index.js';
import { AT, O } from '../../fs/sys/constants.js';
import { isDirectory, type Stat, type Time } from '../../fs/sys/stat.js';
import { close, fstat, openat, readDirectory, statat } from '../../fs/sys/syscalls.js';
import { compare } from '../../fs/union/compare.js';
import type { Layer } from '../../fs/union/layer.js';
import { find, probe } from '../../fs/union/lookup.js';
import { DirectoryNode, type Node } from '../../fs/union/node.js';
import { type Place, recorded, recordedForArchive, treeOverrideAt } from '../../fs/union/owners.js';
import type { OverrideXattr } from '../../fs/union/ownership.js';
import { layerOf, locate } from '../../fs/union/place.js';
import { listingOf } from '../../fs/union/readdir.js';
import { type Stack, toBytes } from '../../fs/union/stack.js';
import type { Union } from '../../fs/union/state.js';
import { viewOf } from '../../fs/union/view.js';
import { DOT_OPAQUE, DOT_WHITEOUT, isDotName, isMetacopy } from '../../fs/union/whiteout.js';
import { unescapeXattr } from '../../fs/union/xattr.js';
import { quote } from './names.js';
import { Packer, plain } from './pack-entry.js';
import { type Item, tarStream } from './tar-write.js';

const join = (directory: string, name: string): string => (directory === '' ? name : `${directory}/${name}`);

/**
 * The whole tree below a directory, as a tar stream. Mounts below it are entered.
 * @throws Errno if it cannot be opened; later errors end the stream
 */
export function packTree(directory: string): Readable {
  const fd = openat(AT.FDCWD, toBytes(directory), O.RDONLY | O.DIRECTORY);
  return tarStream(new TreePacker(fd).items());
}

/** A plain tree, which may keep its owners as a layer does. */
class TreePacker {
  readonly #fd: number;
  readonly #root: Stat;
  readonly #override: OverrideXattr | undefined;
  readonly #packer: Packer;

  /** @param fd of the root; closed in the end */
  constructor(fd: number) {
    this.#fd = fd;
    this.#root = fstat(fd);
    this.#override = treeOverrideAt(fd);
    this.#packer = new Packer(this.#override === undefined ? (attribute) => attribute : unescapeXattr);
  }

  items(): Generator<Item> {
    return this.#below(this.#fd, this.#root, '');
  }

  *#below(fd: number, stat: Stat, path: string): Generator<Item> {
    try {
      yield* this.#item({ dirfd: fd, name: '' }, stat, path);
      for (const name of sortedNames(fd)) {
        const inside = statat(fd, name);
        if (inside === undefined) continue; // gone meanwhile
        const inner = join(path, name);
        if (!isDirectory(inside.mode)) yield* this.#item({ dirfd: fd, name }, inside, inner);
        else yield* this.#below(openat(fd, name, O.RDONLY | O.DIRECTORY | O.NOFOLLOW), inside, inner);
      }
    } finally {
      close(fd);
    }
  }

  *#item(place: Place, inode: Stat, path: string): Generator<Item> {
    const stat = recordedForArchive(this.#override, place, inode, this.#root);
    const item = this.#packer.item(place, stat, path, this.#override);
    if (item !== undefined) yield item;
  }
}

const sortedNames = (fd: number): string[] =>
  readDirectory(fd)
    .map(({ name }) => name)
    .sort();

export interface Changes extends Pick<Stack, 'lowers'> {
  /** Absolute path of the writable layer. */
  readonly upper: string;
  /** When upper, a plain copy of the lowers, was complete (`compare.ts`). */
  readonly copied?: Time;
  /** Paths from the root that are left out, such as "/etc/hosts". */
  readonly omit?: readonly string[];
}

/**
 * What upper changes, as the tar stream of an OCI layer. Upper must not change meanwhile.
 * @throws Errno if a layer cannot be opened; later errors end the stream: UsageError for what a layer cannot hold
 */
export function packChanges({ lowers, upper, copied, omit = [] }: Changes): Readable {
  if (copied !== undefined) return tarStream(copyItems(upper, lowers, copied));
  const union = viewOf({ lowers, upper });
  const omitted = new Set(omit.map((path) => toBytes(path).replace(/^\/+/, '')));
  return tarStream(new ChangePacker(union, omitted).items());
}

/** What has changed in a plain copy of the lower layers. */
function* copyItems(copy: string, lowers: readonly string[], copied: Time): Generator<Item> {
  const view = viewOf({ lowers });
  const fd = openat(AT.FDCWD, toBytes(copy), O.RDONLY | O.DIRECTORY);
  try {
    const override = treeOverrideAt(fd);
    const packer = new Packer(override === undefined ? (attribute) => attribute : unescapeXattr);
    const root = { dirfd: fd, name: '' };
    const own = packer.item(root, recorded(override, root, fstat(fd)), '', override);
    if (own !== undefined) yield own;
    for (const { kind, path, dirfd, name, stat } of compare(fd, view, copied)) {
      const inner = path.slice(1);
      refuseDotName(name, inner);
      if (kind === 'D') yield whiteout(stat, posix.dirname(path).slice(1), name);
      const item = kind === 'D' ? undefined : packer.item({ dirfd, name }, stat, inner, override);
      if (item !== undefined) yield item;
    }
  } finally {
    close(fd);
    view.close();
  }
}

/** The mark that a name is gone; `stat` gives its owner and time. */
const whiteout = (stat: Stat, directory: string, name: string): Item => ({
  entry: plain({ ...stat, mode: 0 }, join(directory, DOT_WHITEOUT + name), 'file'),
});

function refuseDotName(name: string, path: string): void {
  if (isDotName(name))
    throw new UsageError(`${quote(path)} cannot be in a layer: its name would be a whiteout`);
}

/** What a layer records of an entry, given its inode's attributes. */
function recordedIn({ override, rootFd }: Layer, place: Place, inode: Stat): Stat {
  return override === undefined ? inode : recordedForArchive(override, place, inode, fstat(rootFd));
}

function recordedRoot({ root, handles }: Union): Stat {
  const dirfd = handles.directory(root.top);
  return recordedIn(root.top.layer, { dirfd, name: '' }, fstat(dirfd));
}

class ChangePacker {
  readonly #union: Union;
  readonly #omitted: ReadonlySet<string>;
  readonly #packer = new Packer(unescapeXattr);

  constructor(union: Union, omitted: ReadonlySet<string>) {
    this.#union = union;
    this.#omitted = omitted;
  }

  *items(): Generator<Item> {
    const { root } = this.#union;
    try {
      yield* this.#item(root, recordedRoot(this.#union), '');
      yield* this.#changed(root, '');
    } finally {
      this.#union.close();
    }
  }

  *#item(node: Node, stat: Stat, path: string): Generator<Item> {
    const place = locate(this.#union, node);
    if (!(node instanceof DirectoryNode) && node.isRegular && isMetacopy(place.dirfd, place.name)) {
      throw new UsageError(`${quote(path)} is a metadata-only copy, whose data is elsewhere`);
    }
    const item = this.#packer.item(place, stat, path, layerOf(node).override);
    if (item !== undefined) yield item;
  }

  /** What upper's directory holds; the rest of the merged one stays as the layers below have it. */
  *#changed(here: DirectoryNode, path: string): Generator<Item> {
    const { upper } = here;
    if (upper === undefined) return;
    for (const name of sortedNames(this.#union.handles.directory(upper))) {
      const inner = join(path, name);
      if (this.#omitted.has(inner)) continue;
      const { entry, stat } = probe(this.#union, upper, name, true);
      refuseDotName(name, inner);
      if (entry.is === 'whiteout' && stat !== undefined) {
        const place = { dirfd: this.#union.handles.directory(upper), name };
        yield whiteout(recordedIn(upper.layer, place, stat), path, name);
        continue;
      }
      const isOpaque = entry.is === 'directory' && entry.opaque !== undefined;
      const isMoved = entry.is === 'directory' && entry.redirect !== undefined;
      yield* this.#found(here, name, inner, isMoved, isOpaque || isMoved);
    }
  }

  /** Everything that a directory shows, whichever layer it comes from. */
  *#whole(here: DirectoryNode, path: string): Generator<Item> {
    const names = [...listingOf(this.#union, here).names()].map(({ name }) => name);
    for (const name of names.sort()) yield* this.#found(here, name, join(path, name), true, false);
  }

  /** @param hidesAll nothing of what the layers below hold under the name shows through */
  *#found(
    parent: DirectoryNode,
    name: string,
    path: string,
    isWhole: boolean,
    hidesAll: boolean,
  ): Generator<Item> {
    const found = find(this.#union, parent, name);
    if (found === undefined) return;
    const { node } = found;
    const stat = recordedIn(layerOf(node), locate(this.#union, node), found.stat);
    yield* this.#item(node, stat, path);
    if (node instanceof DirectoryNode) {
      if (hidesAll) yield { entry: plain({ ...stat, mode: 0 }, join(path, DOT_OPAQUE), 'file') };
      if (isWhole) yield* this.#whole(node, path);
      else yield* this.#changed(node, path);
    }
    this.#union.drop(node);
  }
}
