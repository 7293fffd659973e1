/**
 * Packs directories into tar streams: a whole tree for `export`, a container's changes for `commit`.
 *
 * Rules:
 * - Names are sorted by their bytes, a directory before its contents: the same files give the same archive.
 * - `fs/union/offline/difference.ts` finds the changes, so every driver gives the same layer. A deletion becomes `.wh.NAME`
 *   with the directory's owner and time, also in an opaque directory; a renamed directory is written completely (OCI
 *   image-spec layer.md). The union's own xattrs are left out, escaped ones are unescaped.
 * - Of an inode's names the first is the file, and the others are hard links to it.
 *
 * Compare ExportChanges in moby's pkg/archive/changes.go.
 */
import type { Readable } from 'node:stream';
import { type ChangedStack, UsageError } from '../../../fs/index.js';
import { below, DOT_WHITEOUT, isDotName, pathOf, type Trail } from '../../../fs/layers.js';
import { attributesOf, Comparison, PlainTree } from '../../../fs/offline.js';
import { isDirectory, type Stat } from '../../../fs/sys/stat.js';
import { quote, splitName } from '../tar/names.js';
import { type Item, tarStream } from '../tar/tar-write.js';
import { Packer, plain } from './pack-entry.js';
import { UNPACK_LIMITS } from './unpack.js';

/**
 * The whole tree below a directory, as a tar stream. Mounts below it are entered.
 * @throws Errno if it cannot be opened; later errors end the stream
 */
export function packTree(directory: string): Readable {
  return tarStream(treeItems(new PlainTree(directory)));
}

function* treeItems(tree: PlainTree): Generator<Item> {
  const packer = new Packer();
  try {
    yield* packer.item(tree.root, undefined);
    const way: { readonly trail: Trail | undefined; readonly names: Iterator<string> }[] = [
      { trail: undefined, names: tree.names().values() },
    ];
    for (let at = way.at(-1); at !== undefined; at = way.at(-1)) {
      const next = at.names.next();
      if (next.done === true) {
        way.pop();
        if (way.length > 0) tree.leave();
        continue;
      }
      const trail = below(at.trail, next.value);
      const entry = tree.find(next.value);
      if (entry === undefined) continue; // removed in between
      yield* packer.item(entry, trail);
      if (!isDirectory(entry.inode.mode)) continue;
      tree.enter(next.value);
      way.push({ trail, names: tree.names().values() });
    }
  } finally {
    tree.close();
  }
}

/**
 * A container's changes as the tar stream of an OCI layer. The files must not change while it is read.
 * @throws Errno if a layer cannot be opened; later errors end the stream: UsageError for what a layer cannot hold
 */
export function packChanges(stack: ChangedStack): Readable {
  return tarStream(bounded(changeItems(new Comparison(stack))));
}

/** Refuses items that exceed the limits of unpacking: a sparse file may have any length, a tree any depth. */
function* bounded(items: Iterable<Item>): Generator<Item> {
  let bytes = 0;
  for (const item of items) {
    splitName(item.entry.name);
    bytes += item.entry.size;
    if (bytes > UNPACK_LIMITS.maxBytes)
      throw new UsageError(
        `${quote(item.entry.name)} exceeds the layer's limit of ${UNPACK_LIMITS.maxBytes} bytes, including holes`,
      );
    yield item;
  }
}

function* changeItems(comparison: Comparison): Generator<Item> {
  const packer = new Packer();
  try {
    yield* packer.item(comparison.root, undefined);
    for (const { kind, trail, entry, attributes } of comparison.differences()) {
      refuseDotName(trail);
      if (kind === 'D') yield whiteout(entry.stat, trail);
      else yield* packer.item(entry, trail, attributes ?? attributesOf(entry));
    }
  } finally {
    comparison.close();
  }
}

/** A whiteout file; the directory's `stat` gives its owner and time. */
const whiteout = (stat: Stat, { parent, name }: Trail): Item => ({
  entry: plain({ ...stat, mode: 0 }, pathOf(below(parent, DOT_WHITEOUT + name)), 'file'),
});

function refuseDotName(trail: Trail): void {
  if (isDotName(trail.name))
    throw new UsageError(`${quote(pathOf(trail))} cannot be stored in a layer: its name would be a whiteout`);
}
