/**
 * A union to look at without a mount: what `diff` and `explain` are made of.
 *
 * Rule: the same lookup and the same rules as the mount's, and nothing is ever changed.
 */
import { close } from '../sys/syscalls.js';
import { type Layer, LayerDirectory, openLowers, openWritable, upperLayer } from './layer.js';
import { find } from './lookup.js';
import { DirectoryNode, type Node } from './node.js';
import { findOverrides } from './owners.js';
import type { Stack } from './stack.js';
import { Union } from './state.js';

const DESCRIPTORS = 256;

/** A read-only union of a stack's layers; close it after use. */
export function viewOf({ upper, lowers }: Pick<Stack, 'upper' | 'lowers'>): Union {
  const top = upper === undefined ? [] : [openUpper(upper)];
  const layers = [...top, ...openLowers(lowers, top.length)];
  findOverrides(layers, true); // what is only looked at gives nobody rights
  return new Union(layers, undefined, { volatile: true, descriptors: DESCRIPTORS, layerChanges: 'never' });
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

/** The node that a path of names leads to; undefined if there is none. */
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
