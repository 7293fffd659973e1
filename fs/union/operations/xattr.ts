/**
 * Extended attributes of the merged view.
 *
 * Rules: names are translated (`owners/xattr-names.ts`); the union's own marks are never shown. Setting one copies up. The
 * recorded mode follows an ACL, and set-group-id goes where the kernel says so.
 */
import type { Caller } from '../../protocol/filesystem.js';
import { ACL, isAcl, S } from '../../sys/constants.js';
import { E, Errno } from '../../sys/errno.js';
import { getxattrat, listxattrat, removexattrat, setxattrat } from '../../sys/syscalls.js';
import type { OverrideXattr } from '../layers/owner-xattrs.js';
import type { Place } from '../layers/place.js';
import { statOf } from '../nodes/lookup.js';
import { DirectoryNode, type Node } from '../nodes/node.js';
import { layerOf, locate, recordedOf } from '../nodes/place.js';
import type { Union } from '../nodes/union.js';
import { given, namesSomebody } from '../owners/acl.js';
import { squashes } from '../owners/id-mapping.js';
import { orKeepAcl, writeAcl } from '../owners/stored-acl.js';
import { rerecord } from '../owners/stored-owners.js';
import { escapeXattr, unescapeXattr } from '../owners/xattr-names.js';
import { finish } from '../rules/finish.js';
import { changeMode } from './change-owner.js';
import { copyUpDirectory, copyUpFile } from './copy-up.js';

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

/** The kernel refuses ACL entries of unmapped ids; with one id only, such entries have no effect. */
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
