/**
 * Removing names.
 *
 * Rules: a name that a lower layer holds is covered by a whiteout, in the same rename that takes upper's entry away.
 * What is still in use stays usable: it is opened before its last name in upper goes. Compare
 * ovl_remove_and_whiteout and ovl_remove_upper in fs/overlayfs/dir.c.
 */
import { E, Errno } from '../sys/errno.js';
import { statat } from '../sys/syscalls.js';
import { execute, Target } from './apply.js';
import { find, forgetName } from './lookup.js';
import { DirectoryNode, FileNode, type Node } from './node.js';
import { listingOf } from './readdir.js';
import { plan } from './rules.js';
import type { Union } from './state.js';

/** FUSE_UNLINK. */
export function unlink(union: Union, parent: DirectoryNode, name: string): void {
  const target = new Target(union, parent, name);
  const situation = target.situation();
  const node = parent.children.get(name);
  if (node instanceof FileNode) keepUsable(union, node, parent, name);
  execute(plan('unlink', situation), {
    'make-parents': target.makeParents,
    whiteout: target.whiteout,
    'stage-whiteout': target.stageWhiteout,
    install: target.install,
    remove: target.removeFile,
  });
  nameIsGone(parent, name, node);
}

/** FUSE_RMDIR. */
export function rmdir(union: Union, parent: DirectoryNode, name: string): void {
  const node = find(union, parent, name)?.node;
  if (!(node instanceof DirectoryNode)) throw new Errno(node === undefined ? E.ENOENT : E.ENOTDIR);
  const target = new Target(union, parent, name);
  const situation = { ...target.situation(), empty: isEmpty(union, node) };
  if (node.upper !== undefined && situation.empty) union.handles.pinDirectory(node.upper);
  const attempt = (upperEmpty: boolean): void =>
    execute(plan('rmdir', { ...situation, upperEmpty }), {
      'make-parents': target.makeParents,
      whiteout: target.whiteout,
      'stage-whiteout': target.stageWhiteout,
      exchange: target.exchange,
      discard: target.discard,
      'clear-target': target.clear,
      remove: target.removeDirectory,
    });
  try {
    attempt(true);
  } catch (error) {
    if (!(error instanceof Errno) || error.code !== E.ENOTEMPTY || !situation.empty) throw error;
    attempt(false); // only whiteouts are left in it
  }
  node.removed = true;
  nameIsGone(parent, name, node);
}

/** Whether the merged directory shows no entries. */
export function isEmpty(union: Union, node: DirectoryNode): boolean {
  return node.removed || listingOf(union, node).size === 0;
}

/** The name is no longer shown. */
export function nameIsGone(parent: DirectoryNode, name: string, node: Node | undefined): void {
  if (node !== undefined) forgetName(parent, name, node);
  parent.listing?.remove(name);
}

/** Makes sure that a file in upper can be reached once `name` is gone: by another name, or by a descriptor. */
export function keepUsable(union: Union, node: FileNode, parent: DirectoryNode, name: string): void {
  const isHome = node.home.directory === parent.upper && node.home.name === name;
  if (!isHome || node.pinned >= 0) return;
  for (const link of node.links) {
    if (link.parent.upper === undefined || (link.parent === parent && link.name === name)) continue;
    const stat = statat(union.handles.directory(link.parent.upper), link.name);
    if (stat?.ino === node.layerIno && stat.dev === node.dev) {
      node.home = { directory: link.parent.upper, name: link.name };
      return;
    }
  }
  union.handles.pin(node);
}
