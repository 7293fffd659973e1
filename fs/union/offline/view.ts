/**
 * A union to look at without a mount: what `diff` and `explain` are made of.
 *
 * Rule: the same lookup and the same rules as the mount's, and nothing is ever changed.
 */
import { AT, O } from '../../sys/constants.js';
import { E, unless } from '../../sys/errno.js';
import { toBytes } from '../../sys/path-bytes.js';
import { close, openat } from '../../sys/syscalls.js';
import { type Layer, LayerDirectory, openLowers, openWritable, upperLayer } from '../layers/layer.js';
import type { Stack } from '../layers/stack.js';
import { LinkIndex } from '../nodes/link-index.js';
import { find } from '../nodes/lookup.js';
import { DirectoryNode, type Node } from '../nodes/node.js';
import { Union } from '../nodes/union.js';
import { findOverrides } from '../owners/stored-owners.js';

const DESCRIPTORS = 256;

/** With `work`, hard links of lower files show what was copied up under another of their names (`link-index.ts`). */
export type ViewedStack = Pick<Stack, 'upper' | 'lowers' | 'work'>;

/** A read-only union of a stack's layers; close it after use. */
export function viewOf({ upper, lowers, work }: ViewedStack): Union {
  const top = upper === undefined ? [] : [openUpper(upper)];
  const layers = [...top, ...openLowers(lowers, top.length)];
  findOverrides(layers, true); // a view gives no rights to anybody
  const index = upper === undefined || work === undefined ? undefined : indexAt(work, layers);
  const settings = { volatile: true, descriptors: DESCRIPTORS, layerChanges: 'never' } as const;
  return new Union({ layers, index, settings });
}

/** The index of a work directory, if there is one. */
function indexAt(work: string, layers: readonly Layer[]): LinkIndex | undefined {
  const workFd = unless([E.ENOENT, E.ENOTDIR], () => openat(AT.FDCWD, toBytes(work), O.RDONLY | O.DIRECTORY));
  if (workFd === undefined) return undefined;
  try {
    return LinkIndex.look(workFd, layers);
  } finally {
    close(workFd);
  }
}

/** Nothing is changed, so nothing is staged. */
function openUpper(upper: string): Layer {
  const open = openWritable(upper, upper);
  try {
    return upperLayer(upper, open);
  } finally {
    close(open.upperFd);
    close(open.workFd);
  }
}

/** The node at a path of names; undefined if it does not exist. */
export function walk(union: Union, names: readonly string[]): Node | undefined {
  let node: Node | undefined = union.root;
  for (const name of names) {
    if (!(node instanceof DirectoryNode)) return undefined;
    node = find(union, node, name)?.node;
  }
  return node;
}

/** The subdirectory `name` of a layer's directory. */
export function below(directory: LayerDirectory, name: string): LayerDirectory {
  return new LayerDirectory(directory.layer, directory, name);
}
