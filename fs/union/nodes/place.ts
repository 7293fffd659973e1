/** Where a node's inode is reached by *at calls, and what its layer keeps for it. */
import type { Stat } from '../../sys/stat.js';
import type { Layer } from '../layers/layer.js';
import type { Place } from '../layers/place.js';
import { recorded } from '../owners/stored-owners.js';
import { DirectoryNode, type Node } from './node.js';
import type { Union } from './union.js';

/** An empty name means the descriptor itself. */
export function locate(union: Union, node: Node): Place {
  if (node instanceof DirectoryNode) return { dirfd: union.handles.top(node), name: '' };
  const fd = union.handles.ifOpen(node);
  if (fd !== undefined) return { dirfd: fd, name: '' };
  return { dirfd: union.handles.directory(node.home.directory), name: node.home.name };
}

/** The layer that a node's attributes are in. */
export const layerOf = (node: Node): Layer =>
  node instanceof DirectoryNode ? node.top.layer : node.home.directory.layer;

/** A node's attributes as its layer keeps them, given those of the inode. */
export function recordedOf(union: Union, node: Node, stat: Stat): Stat {
  const { override } = layerOf(node);
  return override === undefined ? stat : recorded(override, locate(union, node), stat);
}
