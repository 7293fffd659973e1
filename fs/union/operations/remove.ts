/**
 * Removing names.
 *
 * Rules: a name that a lower layer holds is covered by a whiteout, in the same rename that takes upper's entry away.
 * What is still in use stays usable: it is opened before its last name in upper goes. Nodes and listings change once it
 * has gone, by nothing that can fail. Compare ovl_remove_and_whiteout and ovl_remove_upper in fs/overlayfs/dir.c.
 */
import { E, Errno } from '../../sys/errno.js';
import { statat } from '../../sys/syscalls.js';
import type { LayerDirectory } from '../layers/layer.js';
import { adopt, type Candidate, find, forgetName, foundFile, statOf } from '../nodes/lookup.js';
import { DirectoryNode, FileNode, type Home, type Link, type Node } from '../nodes/node.js';
import { refuseProtected } from '../nodes/protection.js';
import { isEmpty } from '../nodes/readdir.js';
import { classifyName } from '../nodes/situation.js';
import type { Union } from '../nodes/union.js';
import { execute } from '../rules/execute.js';
import { finish } from '../rules/finish.js';
import { plan, type Situation, shown } from '../rules/plan.js';
import { copyUpName } from './copy-up.js';
import { DirectoryTarget, Target } from './target.js';

/** FUSE_UNLINK. */
export function unlink(union: Union, parent: DirectoryNode, name: string): void {
  const target = new Target(union, parent, name);
  const { situation, top } = classifyName(union, parent, name);
  const node = parent.children.get(name) ?? fileNode(union, parent, name, top);
  refuseProtected(union, node);
  losing(union, node, target, () => {
    const isInUpper = node instanceof FileNode && beforeLoss(union, node, target);
    execute(plan('unlink', isInUpper ? withCopy(situation) : situation), target);
  });
  nameIsGone(parent, name, node);
  if (node instanceof FileNode) afterLoss(union, node);
}

function fileNode(
  union: Union,
  parent: DirectoryNode,
  name: string,
  top: Candidate | undefined,
): Node | undefined {
  const found = top && foundFile(union, parent, top);
  return found && adopt(union, parent, name, found);
}

/** A name that was copied up. */
const withCopy = (situation: Situation): Situation => {
  const what = shown(situation);
  return what === 'nothing' ? situation : { ...situation, upper: what };
};

/** FUSE_RMDIR. */
export function rmdir(union: Union, parent: DirectoryNode, name: string): void {
  const node = find(union, parent, name)?.node;
  if (!(node instanceof DirectoryNode)) throw new Errno(node === undefined ? E.ENOENT : E.ENOTDIR);
  refuseProtected(union, node);
  const target = new DirectoryTarget(union, parent, name);
  const situation = { ...target.situation(), empty: isEmpty(union, node) };
  const attempt = (upperEmpty: boolean): void => execute(plan('rmdir', { ...situation, upperEmpty }), target);
  losing(union, node, target, () => {
    if (node.upper !== undefined && situation.empty) union.handles.pinDirectory(node.upper);
    try {
      attempt(true);
    } catch (error) {
      if (!(error instanceof Errno) || error.code !== E.ENOTEMPTY || !situation.empty) throw error;
      attempt(false); // only whiteouts are left in it
    }
  });
  node.removed = true;
  nameIsGone(parent, name, node);
}

/** The name is no longer shown. */
export function nameIsGone(parent: DirectoryNode, name: string, node: Node | undefined): void {
  if (node !== undefined) forgetName(parent, name, node);
  parent.listing?.remove(name);
}

/**
 * What must happen before a file loses a name. The count of a lower file's names is kept on its copy, so there must
 * be one first (ovl_nlink_start).
 * @returns whether the name is in upper for that
 */
export function beforeLoss(union: Union, node: FileNode, at: Link): boolean {
  const indexed =
    union.index !== undefined && node.pinned < 0 && (node.index !== undefined || isShared(union, node));
  if (indexed) {
    copyUpName(union, node, at);
    union.index?.pinCount(node);
  }
  keepUsable(union, node, at.parent, at.name);
  return indexed;
}

/** A lower file with several names. */
function isShared(union: Union, node: FileNode): boolean {
  return !node.inUpper && node.keys.length > 0 && statOf(union, node).nlink > 1;
}

/** Runs what takes a name of `node` away; if that fails, the node lives by its name again and by nothing else. */
export function losing(union: Union, node: Node | undefined, { parent, name }: Link, take: () => void): void {
  const { handles } = union;
  const wasPinned = (pinnable(node)?.pinned ?? UNPINNED) !== UNPINNED;
  const wasOrphan = node instanceof FileNode && handles.isOrphan(node);
  try {
    take();
  } catch (error) {
    const owner = pinnable(node);
    if (owner !== undefined && !wasPinned && owner.pinned >= 0) handles.unpin(owner);
    const isOrphan = node instanceof FileNode && !wasOrphan && handles.isOrphan(node);
    if (isOrphan && parent.upper !== undefined) handles.unshelter(node, { directory: parent.upper, name });
    throw orStale(union, node, { parent, name }, error);
  }
}

/**
 * The error of an operation on a name that somebody else may have taken out of upper, which is the mount's: then it is
 * ESTALE (the check in ovl_remove_and_whiteout), at which the kernel looks the name up anew and tries again.
 */
export function orStale(union: Union, node: Node | undefined, at: Link, error: unknown): unknown {
  if (node === undefined || !isGone(union, node, at)) return error;
  node.stale = true;
  return new Errno(E.ESTALE);
}

function isGone(union: Union, node: Node, { parent, name }: Link): boolean {
  const { upper } = parent;
  const isHere =
    node instanceof DirectoryNode
      ? node.upper?.parent === upper && node.upper?.name === name
      : node.home.directory === upper && node.home.name === name;
  return upper !== undefined && isHere && statat(union.handles.directory(upper), name) === undefined;
}

const UNPINNED = -1;

/** What holds the descriptor that a node without a name lives by. */
const pinnable = (node: Node | undefined): FileNode | LayerDirectory | undefined =>
  node instanceof DirectoryNode ? node.upper : node;

/** The copy of a lower file leaves the index with its last name (ovl_nlink_end); if not now, at the next mount. */
export function afterLoss(union: Union, node: FileNode): void {
  const { index } = union;
  const entry = node.index;
  if (index === undefined || entry === undefined) return;
  finish('removing a file from the index', () => {
    if (statOf(union, node).nlink + entry.offset > 0) return;
    union.handles.pin(node);
    index.remove(entry);
    node.index = undefined;
  });
}

/** Makes sure that a file in upper can be reached once `name` is gone: by another name, or by a descriptor. */
function keepUsable(union: Union, node: FileNode, parent: DirectoryNode, name: string): void {
  const isHome = node.home.directory === parent.upper && node.home.name === name;
  if (!isHome || node.pinned >= 0) return;
  const other = otherHome(union, node, parent, name);
  if (other === undefined) union.handles.pin(node);
  else node.home = other;
}

/** Another known name that leads to the same inode in upper. */
function otherHome(union: Union, node: FileNode, parent?: DirectoryNode, name?: string): Home | undefined {
  for (const link of node.links) {
    if (link.parent.upper === undefined || (link.parent === parent && link.name === name)) continue;
    const stat = statat(union.handles.directory(link.parent.upper), link.name);
    if (stat?.ino === node.layerIno && stat.dev === node.dev) {
      return { directory: link.parent.upper, name: link.name };
    }
  }
  return undefined;
}

/** A file that was pinned when its home's name went may have got another name since. */
export function rehome(union: Union, node: FileNode): void {
  if (node.pinned < 0) return;
  const home = otherHome(union, node);
  if (home === undefined) return;
  union.handles.unpin(node);
  node.home = home;
}
