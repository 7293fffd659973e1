/**
 * Attributes: stat and its changes.
 *
 * Rules: changes happen on the copy in upper, in the order size, owner, mode, times, because each may disturb the
 * later ones. A truncation copies up no more data than stays. The kernel has checked permissions
 * (default_permissions); with HANDLE_KILLPRIV_V2 clearing set-id bits is ours, except that chown(2) of the copy does
 * it, whoever calls (chown_common). Compare ovl_setattr in fs/overlayfs/inode.c.
 */
import { readFileSync } from 'node:fs';
import type { AttributeChanges, Attributes, Caller } from '../protocol/filesystem.js';
import { S } from '../sys/constants.js';
import { E, Errno } from '../sys/errno.js';
import { ftruncate, utimensat } from '../sys/syscalls.js';
import { changeMode, changeOwner, loseCapability } from './change-owner.js';
import { copyUpDirectory, copyUpFile } from './copy-up.js';
import { attributeTimeout, dress, statOf } from './lookup.js';
import { DirectoryNode, FileNode, type Node } from './node.js';
import { locate } from './place.js';
import type { Union } from './state.js';
import { isUnwatched, showChange } from './unwatched.js';

/** FUSE_GETATTR. */
export function getattr(union: Union, node: Node): Attributes {
  const stat = statOf(union, node);
  const isOld = node instanceof FileNode && isUnwatched(union, node) && showChange(union, node, stat);
  const attributes = dress(union, node, stat);
  return { attributes, attributeTimeout: isOld ? 0 : attributeTimeout(union, node) };
}

/** FUSE_SETATTR. */
export function setattr(union: Union, caller: Caller, node: Node, changes: AttributeChanges): Attributes {
  if (node instanceof DirectoryNode) copyUpDirectory(union, node);
  else copyUpFile(union, node, changes.size);
  if (changes.size !== undefined) {
    if (node instanceof DirectoryNode) throw new Errno(E.EISDIR);
    loseCapability(union, node);
    ftruncate(union.handles.writer(node), changes.size);
  }
  const changesOwner = changes.uid !== undefined || changes.gid !== undefined;
  if (changes.killSetId && !changesOwner) dropSetId(union, caller, node);
  if (changesOwner) changeOwner(union, node, changes);
  if (changes.mode !== undefined) changeMode(union, node, changes.mode);
  const { dirfd, name } = locate(union, node);
  if (changes.atime !== undefined || changes.mtime !== undefined) {
    utimensat(dirfd, name, changes.atime ?? 'keep', changes.mtime ?? 'keep');
  }
  return getattr(union, node);
}

/**
 * Clears set-user-id, and set-group-id unless the group may not execute the file and the caller, who has no CAP_FSETID,
 * belongs to it (setattr_should_drop_suidgid). Tells whether anything was cleared.
 */
export function dropSetId(union: Union, caller: Caller, node: Node): boolean {
  const { mode, gid } = dress(union, node, statOf(union, node));
  let kept = mode & ~S.IFMT & ~S.ISUID;
  if ((mode & S.ISGID) !== 0 && ((mode & S.IXGRP) !== 0 || !belongsTo(caller, gid))) kept &= ~S.ISGID;
  if (kept === (mode & ~S.IFMT)) return false;
  changeMode(union, node, kept);
  return true;
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
