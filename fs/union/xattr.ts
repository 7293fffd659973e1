/**
 * Extended attributes of the merged view.
 *
 * Rules: the union's own marks (`trusted.overlay.*`, `user.overlay.*`, `user.fuseoverlayfs.*`) are never shown. Who
 * sets such a name through the mount gets it stored escaped, so that a union's layers can lie inside a union: "x"
 * becomes PREFIX + "overlay.x" (compare ovl_xattr_escape_name in fs/overlayfs/xattrs.c). Setting one copies up.
 */
import type { Caller } from '../protocol/filesystem.js';
import { isAcl, S } from '../sys/constants.js';
import { E, Errno } from '../sys/errno.js';
import {
  fchmodat,
  fstat,
  getxattrat,
  listxattrat,
  removexattrat,
  setxattrat,
  statat,
} from '../sys/syscalls.js';
import { copyUpDirectory, copyUpFile } from './copy-up.js';
import { DirectoryNode, type Node } from './node.js';
import type { Union } from './state.js';

/** Prefixes of the union's own marks, and what an escaped name has in addition. */
const PRIVATE = [
  { prefix: 'trusted.overlay.', infix: 'overlay.' },
  { prefix: 'user.overlay.', infix: 'overlay.' },
  { prefix: 'user.fuseoverlayfs.', infix: 'fuseoverlayfs.' },
];

/** Whether an attribute of a layer's file is the union's own mark; escaped ones belong to the user. */
export function isPrivateXattr(attribute: string): boolean {
  return PRIVATE.some(
    ({ prefix, infix }) => attribute.startsWith(prefix) && !attribute.startsWith(prefix + infix),
  );
}

/** The layer's name of an attribute that the user names. */
export function escapeXattr(attribute: string): string {
  const own = PRIVATE.find(({ prefix }) => attribute.startsWith(prefix));
  return own === undefined ? attribute : own.prefix + own.infix + attribute.slice(own.prefix.length);
}

/** The user's name of an attribute that a layer holds; undefined if it is the union's own mark. */
export function unescapeXattr(attribute: string): string | undefined {
  const own = PRIVATE.find(({ prefix }) => attribute.startsWith(prefix));
  if (own === undefined) return attribute;
  const escaped = own.prefix + own.infix;
  return attribute.startsWith(escaped) ? own.prefix + attribute.slice(escaped.length) : undefined;
}

/** Where a node's inode is reached by *at calls; an empty name means the descriptor itself. */
export function locate(union: Union, node: Node): { dirfd: number; name: string } {
  if (node instanceof DirectoryNode) return { dirfd: union.handles.directory(node.top), name: '' };
  const fd = union.handles.ifOpen(node);
  if (fd !== undefined) return { dirfd: fd, name: '' };
  return { dirfd: union.handles.directory(node.home.directory), name: node.home.name };
}

/** Copies a node up, whatever it is. */
export function makeWritable(union: Union, node: Node): void {
  if (node instanceof DirectoryNode) copyUpDirectory(union, node);
  else copyUpFile(union, node);
}

const CAPABILITY = 'security.capability';

export function getxattr(union: Union, node: Node, attribute: string): Uint8Array | undefined {
  if (attribute === CAPABILITY && !(node instanceof DirectoryNode) && node.bare) return undefined;
  const { dirfd, name } = locate(union, node);
  return getxattrat(dirfd, name, escapeXattr(attribute));
}

/** Names of `trusted.` attributes are root's (ovl_can_list). */
export function listxattr(union: Union, caller: Caller, node: Node): string[] {
  const { dirfd, name } = locate(union, node);
  const mayList = (attribute: string): boolean => caller.uid === 0 || !attribute.startsWith('trusted.');
  return listxattrat(dirfd, name)
    .map(unescapeXattr)
    .filter((attribute) => attribute !== undefined)
    .filter(mayList);
}

export function setxattr(
  union: Union,
  node: Node,
  attribute: string,
  value: Uint8Array,
  flags: number,
  killSetGid: boolean,
): void {
  makeWritable(union, node);
  if (attribute === CAPABILITY && !(node instanceof DirectoryNode)) node.bare = false;
  const { dirfd, name } = locate(union, node);
  setxattrat(dirfd, name, escapeXattr(attribute), value, flags);
  if (killSetGid) clearSetGid(dirfd, name);
}

function clearSetGid(dirfd: number, name: string): void {
  const stat = name === '' ? fstat(dirfd) : statat(dirfd, name);
  if (stat !== undefined && (stat.mode & S.ISGID) !== 0) {
    fchmodat(dirfd, name, stat.mode & ~S.IFMT & ~S.ISGID);
  }
}

export function removexattr(union: Union, node: Node, attribute: string): void {
  const stored = escapeXattr(attribute);
  const { dirfd, name } = locate(union, node);
  if (getxattrat(dirfd, name, stored) === undefined) {
    if (isAcl(attribute)) return; // as where there are none: posix_acl_xattr_set
    throw new Errno(E.ENODATA);
  }
  makeWritable(union, node);
  const target = locate(union, node);
  removexattrat(target.dirfd, target.name, stored);
}
