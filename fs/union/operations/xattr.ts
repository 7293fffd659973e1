/**
 * Extended attributes of the merged view.
 *
 * Rules: the union's own marks (`trusted.overlay.*`, `user.overlay.*`, `user.containers.*` ...) are never shown. Who
 * sets such a name through the mount gets it stored escaped, so that a union's layers can lie inside a union: "x"
 * becomes PREFIX + "overlay.x" (compare ovl_xattr_escape_name in fs/overlayfs/xattrs.c). Setting one copies up. Where
 * `user.containers.override_stat` keeps owners, `security.*` is kept in `user.containers.override_security.*` (compare
 * encode_xattr_name in fuse-overlayfs). Where any attribute keeps owners and modes, another beside it keeps ACLs: one of
 * the inode's own would be about the server's rights, and what it has there is the host's.
 */
import type { Caller } from '../../protocol/filesystem.js';
import { ACL, isAcl, S } from '../../sys/constants.js';
import { E, Errno, unless } from '../../sys/errno.js';
import { getxattrat, listxattrat, removexattrat, setxattrat } from '../../sys/syscalls.js';
import { statOf } from '../nodes/lookup.js';
import { DirectoryNode, type Node } from '../nodes/node.js';
import { layerOf, locate, recordedOf } from '../nodes/place.js';
import type { Union } from '../nodes/union.js';
import { given, namesSomebody } from '../owners/acl.js';
import { CONTAINERS_OVERRIDE, COPY_OVERRIDE, type OverrideXattr, squashes } from '../owners/id-mapping.js';
import { type Place, rerecord } from '../owners/stored-owners.js';
import { finish } from '../rules/finish.js';
import { changeMode } from './change-owner.js';
import { copyUpDirectory, copyUpFile } from './copy-up.js';

/** Prefixes of the union's own marks, and what an escaped name has in addition. */
const PRIVATE = [
  { prefix: 'user.containers.', infix: 'containers.' },
  { prefix: 'security.fuseoverlayfs.', infix: 'fuseoverlayfs.' },
  { prefix: 'trusted.overlay.', infix: 'overlay.' },
  { prefix: 'user.overlay.', infix: 'overlay.' },
  { prefix: 'user.fuseoverlayfs.', infix: 'fuseoverlayfs.' },
];

/** Attributes that take a privilege to set, and what is put before them where they are kept without. */
const SECURITY = 'security.';
const KEPT = 'user.containers.override_';

/** What the names of attributes beside one that keeps owners begin with. */
const beside = (override: OverrideXattr): string => override.slice(0, -'stat'.length);

/**
 * The layer's name of an attribute that the user names.
 * @param override how the layer keeps owners
 */
export function escapeXattr(attribute: string, override?: OverrideXattr): string {
  if (override === COPY_OVERRIDE) return attribute;
  if (override === CONTAINERS_OVERRIDE && attribute.startsWith(SECURITY)) return KEPT + attribute;
  if (override !== undefined && isAcl(attribute)) return beside(override) + attribute;
  const own = PRIVATE.find(({ prefix }) => attribute.startsWith(prefix));
  return own === undefined ? attribute : own.prefix + own.infix + attribute.slice(own.prefix.length);
}

/**
 * The user's name of an attribute that a layer holds; undefined if it is the union's own mark.
 * @param override how the layer keeps owners
 */
export function unescapeXattr(attribute: string, override?: OverrideXattr): string | undefined {
  if (override === COPY_OVERRIDE) return attribute === COPY_OVERRIDE ? undefined : attribute;
  if (override !== undefined) {
    if (isAcl(attribute)) return undefined; // the host's
    const kept = beside(override);
    if (attribute.startsWith(kept) && isAcl(attribute.slice(kept.length)))
      return attribute.slice(kept.length);
  }
  if (override === CONTAINERS_OVERRIDE) {
    if (attribute.startsWith(SECURITY)) return undefined; // the host's
    if (attribute.startsWith(KEPT + SECURITY)) return attribute.slice(KEPT.length);
  }
  const own = PRIVATE.find(({ prefix }) => attribute.startsWith(prefix));
  if (own === undefined) return attribute;
  const escaped = own.prefix + own.infix;
  return attribute.startsWith(escaped) ? own.prefix + attribute.slice(escaped.length) : undefined;
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
  const value = getxattrat(dirfd, name, escapeXattr(attribute, layerOf(node).override));
  return value !== undefined && isHidden(union, attribute, value) ? undefined : value;
}

/** The kernel does not take an ACL about users that do not exist. Where nobody else does, it decides nothing. */
const isHidden = ({ settings, isAlone }: Union, attribute: string, value: Uint8Array): boolean =>
  isAlone && isAcl(attribute) && squashes(settings.ownership) && namesSomebody(value);

/** Names of `trusted.` attributes are root's (ovl_can_list). */
export function listxattr(union: Union, caller: Caller, node: Node): string[] {
  const { dirfd, name } = locate(union, node);
  const mayList = (attribute: string): boolean => caller.uid === 0 || !attribute.startsWith('trusted.');
  const { override } = layerOf(node);
  return listxattrat(dirfd, name)
    .map((attribute) => unescapeXattr(attribute, override))
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
  const { override } = layerOf(node);
  const set = (): void => {
    if (override !== undefined && attribute === ACL.ACCESS) setAcl(override, locate(union, node), value);
    else {
      const { dirfd, name } = locate(union, node);
      setxattrat(dirfd, name, escapeXattr(attribute, override), value, flags);
    }
  };
  if (killSetGid) withoutSetGid(union, node, set);
  else set();
}

/** The recorded mode follows (posix_acl_update_mode). */
function setAcl(override: OverrideXattr, place: Place, value: Uint8Array): void {
  const { dirfd, name } = place;
  const before = getxattrat(dirfd, name, escapeXattr(ACL.ACCESS, override));
  orKeepAcl(override, place, before, () =>
    rerecord(override, place, ({ mode }) => {
      const { mode: next, acl } = given(value, mode);
      writeAcl(override, place, ACL.ACCESS, acl);
      return { mode: next };
    }),
  );
}

/** Changes an ACL and what goes with it: both or neither. @param acl what it is before; copied */
export function orKeepAcl(
  override: OverrideXattr,
  place: Place,
  acl: Uint8Array | undefined,
  change: () => void,
): void {
  const before = acl && Buffer.from(acl);
  try {
    change();
  } catch (error) {
    finish('undoing a change of an ACL', () => writeAcl(override, place, ACL.ACCESS, before));
    throw error;
  }
}

/** Keeps an ACL where an attribute keeps the owner, or none. */
export function writeAcl(
  override: OverrideXattr,
  { dirfd, name }: Place,
  which: string,
  acl: Uint8Array | undefined,
): void {
  const attribute = escapeXattr(which, override);
  if (acl !== undefined) setxattrat(dirfd, name, attribute, acl);
  else unless([E.ENODATA], () => removexattrat(dirfd, name, attribute));
}

/** Clears set-group-id before `set` changes something else: both or neither. */
function withoutSetGid(union: Union, node: Node, set: () => void): void {
  const { mode } = recordedOf(union, node, statOf(union, node));
  if ((mode & S.ISGID) === 0) {
    set();
    return;
  }
  const permissions = mode & ~S.IFMT;
  changeMode(union, node, permissions & ~S.ISGID);
  try {
    set();
  } catch (error) {
    finish('undoing a change of mode', () => changeMode(union, node, permissions));
    throw error;
  }
}

export function removexattr(union: Union, node: Node, attribute: string): void {
  const held = getxattr(union, node, attribute);
  if (held === undefined) {
    if (isAcl(attribute)) return; // as where there are none: posix_acl_xattr_set
    throw new Errno(E.ENODATA);
  }
  makeWritable(union, node);
  const target = locate(union, node);
  removexattrat(target.dirfd, target.name, escapeXattr(attribute, layerOf(node).override));
}
