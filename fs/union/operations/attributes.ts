/**
 * Attributes: stat and its changes.
 *
 * Rules: changes happen on the copy in upper, in the order owner, mode, size, times, because each may disturb the
 * later ones; either all of them happen or none. A truncation copies up no more data than stays. The kernel has checked permissions
 * (default_permissions); with HANDLE_KILLPRIV_V2 clearing set-id bits is ours, except that chown(2) of the copy does
 * it, whoever calls (chown_common). Compare ovl_setattr in fs/overlayfs/inode.c.
 */
import { readFileSync } from 'node:fs';
import type { AttributeChanges, Attributes, Caller } from '../../protocol/filesystem.js';
import { S } from '../../sys/constants.js';
import { E, Errno } from '../../sys/errno.js';
import { isSymlink, type Stat } from '../../sys/stat.js';
import { ftruncate, utimensat } from '../../sys/syscalls.js';
import { attributeTimeout, statOf, toMountStat } from '../nodes/lookup.js';
import { DirectoryNode, FileNode, type Node } from '../nodes/node.js';
import { locate } from '../nodes/place.js';
import type { Union } from '../nodes/union.js';
import { isUnwatched, showChange } from '../nodes/unwatched.js';
import { answered, finish } from '../rules/finish.js';
import { changeMode, changeOwner, loseCapability } from './change-owner.js';
import { copyUpCut, copyUpDirectory, copyUpFile } from './copy-up.js';

/** FUSE_GETATTR. */
export function getattr(union: Union, node: Node): Attributes {
  const stat = statOf(union, node);
  const isOld = node instanceof FileNode && isUnwatched(union, node) && showChange(union, node, stat);
  const attributes = toMountStat(union, node, stat);
  return { attributes, attributeTimeout: isOld ? 0 : attributeTimeout(union, node) };
}

/** FUSE_SETATTR. */
export function setattr(union: Union, caller: Caller, node: Node, changes: AttributeChanges): Attributes {
  if (cutsCopy(union, caller, node, changes)) finish('setting times', () => setTimes(union, node, changes));
  else change(union, caller, node, changes);
  return answered(
    () => getattr(union, node),
    () => union.attributesChanged(node.id),
  );
}

/** Truncates a file of a lower layer by copying up what stays of it; whether that was asked for. */
function cutsCopy(union: Union, caller: Caller, node: Node, changes: AttributeChanges): boolean {
  const { size, mode } = changes;
  if (size === undefined || mode !== undefined || changesOwner(changes)) return false;
  if (node instanceof DirectoryNode || node.inUpper) return false;
  const stat = toMountStat(union, node, statOf(union, node));
  return copyUpCut(union, node, size, changes.killSetId ? withoutSetId(caller, stat) : stat.mode & ~S.IFMT);
}

function change(union: Union, caller: Caller, node: Node, changes: AttributeChanges): void {
  if (node instanceof DirectoryNode) copyUpDirectory(union, node);
  else copyUpFile(union, node);
  if (changes.killSetId && !changesOwner(changes)) dropSetId(union, caller, node);
  if (changes.size === undefined) changeAttributes(union, node, changes);
  else resize(union, node, changes.size, changes);
}

const changesOwner = ({ uid, gid }: AttributeChanges): boolean => uid !== undefined || gid !== undefined;

/** What truncate(2) cuts off does not come back: all else that can fail comes first, and times after it do not count. */
function resize(union: Union, node: Node, size: number, changes: AttributeChanges): void {
  if (node instanceof DirectoryNode) throw new Errno(E.EISDIR);
  loseCapability(union, node);
  const others = { ...changes, atime: undefined, mtime: undefined };
  changeAttributes(union, node, others, () => ftruncate(union.handles.writer(node), size));
  finish('setting times', () => setTimes(union, node, changes));
}

/** All of the changes or none: the last one makes them true, and those before it are undone if it fails. */
function changeAttributes(union: Union, node: Node, changes: AttributeChanges, last?: () => void): void {
  const { mode, atime, mtime } = changes;
  const givesOwner = changesOwner(changes);
  const hasLast = last !== undefined || atime !== undefined || mtime !== undefined;
  const isSeveral = Number(givesOwner) + Number(mode !== undefined) + Number(hasLast) > 1;
  const before = isSeveral ? toMountStat(union, node, statOf(union, node)) : undefined;
  try {
    if (givesOwner) changeOwner(union, node, changes);
    if (mode !== undefined) changeMode(union, node, mode);
    setTimes(union, node, changes);
    last?.();
  } catch (error) {
    if (before !== undefined)
      finish('undoing a change of attributes', () => giveBack(union, node, before, givesOwner));
    throw error;
  }
}

function giveBack(union: Union, node: Node, { uid, gid, mode }: Stat, owner: boolean): void {
  if (owner) changeOwner(union, node, { uid, gid });
  if (!isSymlink(mode)) changeMode(union, node, mode & ~S.IFMT);
}

function setTimes(union: Union, node: Node, { atime, mtime }: AttributeChanges): void {
  if (atime === undefined && mtime === undefined) return;
  const { dirfd, name } = locate(union, node);
  utimensat(dirfd, name, atime ?? 'keep', mtime ?? 'keep');
}

/** Clears set-id bits when a process without CAP_FSETID changes a file. @returns whether bits were cleared */
export function dropSetId(union: Union, caller: Caller, node: Node): boolean {
  const stat = toMountStat(union, node, statOf(union, node));
  const kept = withoutSetId(caller, stat);
  if (kept === (stat.mode & ~S.IFMT)) return false;
  changeMode(union, node, kept);
  return true;
}

/**
 * Permissions without set-user-id, and without set-group-id unless the group may not execute the file and the caller
 * belongs to it (setattr_should_drop_suidgid).
 */
function withoutSetId(caller: Caller, { mode, gid }: Stat): number {
  const kept = mode & ~S.IFMT & ~S.ISUID;
  const losesGroup = (mode & S.ISGID) !== 0 && ((mode & S.IXGRP) !== 0 || !belongsTo(caller, gid));
  return losesGroup ? kept & ~S.ISGID : kept;
}

/** Requests carry one group only. The further ones are looked up, which is rare; of a caller out of sight, none count. */
function belongsTo({ gid, pid }: Caller, group: number): boolean {
  if (gid === group) return true;
  try {
    const [, groups = ''] = /^Groups:(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
    return groups.trim().split(' ').includes(String(group));
  } catch {
    return false;
  }
}
