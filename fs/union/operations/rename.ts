/**
 * Rename within the merged view.
 *
 * Rules: what is renamed is in upper first; the rename itself is one renameat2(2) there, which also leaves the
 * whiteout or swaps with one where lower layers hold the old name. A directory that merges with lower ones leaves
 * these where they are and says so with a redirect. All that the new place needs is there before the rename; nothing
 * after it can fail. Compare ovl_rename and ovl_set_redirect in fs/overlayfs/dir.c.
 */
import { RENAME, S } from '../../sys/constants.js';
import { E, Errno, unless } from '../../sys/errno.js';
import { renameat2, unlinkat } from '../../sys/syscalls.js';
import type { Work } from '../layers/work.js';
import { requireNoDotName } from '../nodes/dot-names.js';
import { find } from '../nodes/lookup.js';
import { DirectoryNode, FileNode, type Node } from '../nodes/node.js';
import { refuseProtected } from '../nodes/protection.js';
import { isEmpty } from '../nodes/readdir.js';
import type { Union } from '../nodes/union.js';
import { execute } from '../rules/execute.js';
import { finish } from '../rules/finish.js';
import { planRename, type RenameMode } from '../rules/plan.js';
import { copyUpDirectory, copyUpName } from './copy-up.js';
import { checkNewName } from './create.js';
import { afterLoss, beforeLoss, losing, nameIsGone, orStale } from './remove.js';
import { Target } from './target.js';

function modeOf(flags: number): RenameMode {
  if (flags === 0) return 'replace';
  if (flags === RENAME.NOREPLACE) return 'noreplace';
  if (flags === RENAME.EXCHANGE) return 'exchange';
  throw new Errno(E.EINVAL);
}

/** FUSE_RENAME, FUSE_RENAME2. */
export function rename(
  union: Union,
  parent: DirectoryNode,
  name: string,
  newParent: DirectoryNode,
  newName: string,
  flags: number,
): void {
  const mode = modeOf(flags);
  checkNewName(newName);
  const source = new Target(union, parent, name);
  const target = new Target(union, newParent, newName);
  const moved = find(union, parent, name)?.node;
  const replaced = find(union, newParent, newName)?.node;
  if (moved === undefined) throw new Errno(E.ENOENT);
  for (const node of [moved, replaced]) refuseProtected(union, node);
  const { work } = union.writable();
  const redirects = work.isPrivileged && !union.without.has('redirects');
  requireNoDotName(union, parent.upper, name);
  requireNoDotName(union, newParent.upper, newName);
  const attempt = () =>
    planRename(source.situation(), targetSituation(union, target, replaced), mode, { redirects });
  const renameWith = (flag: number): void => renameat2(source.dirfd, name, target.dirfd, newName, flag);
  const actions = {
    'make-parents': () => {
      source['make-parents']();
      if (mode === 'exchange') source.receives(replaced);
    },
    'make-new-parents': () => {
      target['make-parents']();
      target.receives(moved);
    },
    'copy-up': () => copyUpFileName(union, moved, source),
    'copy-up-target': () => copyUpFileName(union, replaced, target),
    'copy-up-directory': () => copyUpDirectoryNode(union, moved),
    'copy-up-target-directory': () => copyUpDirectoryNode(union, replaced),
    'set-redirect': () => setRedirect(source, moved, parent === newParent),
    'set-target-redirect': () => setRedirect(target, replaced, parent === newParent),
    'mark-opaque': () => source['mark-opaque'](),
    'mark-target-opaque': () => target['mark-opaque'](),
    'clear-target': () => {
      target['clear-target']();
      isOpaque(union, replaced);
    },
    move: () => renameWith(0),
    'move-leaving-whiteout': () =>
      moveLeavingWhiteout(work, source, target, replaced !== undefined, renameWith),
    'move-exchanging': () => {
      if (mode !== 'exchange') source.holdWhiteout();
      renameWith(RENAME.EXCHANGE);
    },
    'remove-leftover': () => unlinkat(source.dirfd, name),
    abandon: () => {
      source.abandon();
      target.abandon();
    },
  };
  losing(union, replaced, target, () => {
    let plan = attempt();
    if (!('refused' in plan) && mode === 'replace' && replaced !== undefined) {
      prepareLoss(union, target, replaced);
      plan = attempt(); // what is replaced may be in upper now
    }
    try {
      execute(plan, actions);
    } catch (error) {
      throw orStale(union, moved, source, error);
    }
  });
  if (mode === 'exchange' && replaced !== undefined) swapNodes(source, moved, target, replaced);
  else moveNode(source, moved, target, replaced);
  if (mode !== 'exchange' && replaced instanceof FileNode) afterLoss(union, replaced);
}

/** The directory's place has been taken by an opaque copy of it: nothing below it counts any more. */
function isOpaque(union: Union, node: Node | undefined): void {
  if (!(node instanceof DirectoryNode)) throw new Errno(E.ENOTDIR);
  union.watcher?.unwatch(node);
  node.lowers = [];
  node.redirect = undefined;
  if (node.upper !== undefined) union.handles.replaced(node.upper);
}

function targetSituation(union: Union, target: Target, replaced: Node | undefined) {
  const situation = target.situation();
  if (!(replaced instanceof DirectoryNode)) return situation;
  const empty = isEmpty(union, replaced);
  const upperEmpty = !empty || situation.upper !== 'directory' || target.upperEmpty();
  return { ...situation, empty, upperEmpty };
}

/** What is about to be replaced may still be in use. */
function prepareLoss(union: Union, target: Target, replaced: Node): void {
  if (replaced instanceof FileNode) beforeLoss(union, replaced, target);
  else if (replaced.upper !== undefined) union.handles.pinDirectory(replaced.upper);
}

function copyUpFileName(union: Union, node: Node | undefined, at: Target): void {
  if (!(node instanceof FileNode)) throw new Errno(E.EISDIR);
  copyUpName(union, node, at);
}

function copyUpDirectoryNode(union: Union, node: Node | undefined): void {
  if (!(node instanceof DirectoryNode)) throw new Errno(E.ENOTDIR);
  copyUpDirectory(union, node);
}

function setRedirect(at: Target, node: Node | undefined, sameParent: boolean): void {
  if (!(node instanceof DirectoryNode)) throw new Errno(E.ENOTDIR);
  at.setRedirect(node, sameParent);
}

/** Where the filesystem lacks RENAME_WHITEOUT, or whiteouts are files, it takes more than one rename. What fails is undone. */
function moveLeavingWhiteout(
  work: Work,
  source: Target,
  target: Target,
  replaces: boolean,
  renameWith: (flag: number) => void,
): void {
  const inOneStep = (): boolean => {
    renameWith(RENAME.WHITEOUT);
    return true;
  };
  if (work.whiteoutForm === 'device' && unless([E.EINVAL], inOneStep) === true) return;
  if (replaces) replaceAndWhiteout(source, target, renameWith);
  else swapWithWhiteout(source, target, renameWith);
}

/** Nothing is shown under the new name, nor with a whiteout there, which then changes places with what moves. */
function swapWithWhiteout(source: Target, target: Target, renameWith: (flag: number) => void): void {
  target['stage-whiteout']();
  target['install-whiteout']();
  try {
    source.holdWhiteout();
    renameWith(RENAME.EXCHANGE);
  } catch (error) {
    finish('undoing a rename', () => target.remove());
    throw error;
  }
}

/** The old name shows what lay under the new one, or the lower entry, for a moment; nothing is lost. */
function replaceAndWhiteout(source: Target, target: Target, renameWith: (flag: number) => void): void {
  source['stage-whiteout'](); // what can fail does so before anything is moved
  const swaps = target.isHeld();
  const flag = swaps ? RENAME.EXCHANGE : RENAME.NOREPLACE;
  renameWith(flag);
  try {
    if (swaps) source.exchange();
    else source['install-whiteout']();
  } catch (error) {
    const isUndone = finish('undoing a rename', () =>
      renameat2(target.dirfd, target.name, source.dirfd, source.name, flag),
    );
    if (!isUndone) for (const side of [source, target]) side.doubt();
    throw error;
  }
  if (swaps) source.discard();
}

/** Brings nodes and listings up to date after `moved` took the target's name. */
function moveNode(source: Target, moved: Node, target: Target, replaced: Node | undefined): void {
  if (replaced instanceof DirectoryNode) replaced.removed = true;
  nameIsGone(target.parent, target.name, replaced);
  nameIsGone(source.parent, source.name, moved);
  attach(moved, source, target);
}

function swapNodes(source: Target, moved: Node, target: Target, replaced: Node): void {
  nameIsGone(source.parent, source.name, moved);
  nameIsGone(target.parent, target.name, replaced);
  attach(moved, source, target);
  attach(replaced, target, source);
}

/** Gives a node its new name. */
function attach(node: Node, from: Target, to: Target): void {
  const { upper } = to.parent;
  if (upper === undefined) throw new Error('renamed without a parent in upper');
  if (node instanceof DirectoryNode) {
    node.parent = to.parent;
    node.name = to.name;
    if (node.upper !== undefined) {
      node.upper.parent = upper;
      node.upper.name = to.name;
    }
  } else {
    const wasHome = node.home.directory === from.parent.upper && node.home.name === from.name;
    if (wasHome && node.pinned < 0) node.home = { directory: upper, name: to.name };
    node.addLink(to.parent, to.name);
  }
  to.parent.children.set(to.name, node);
  to.parent.listing?.add(to.name, node instanceof DirectoryNode ? S.IFDIR : node.type, node.ino);
}
