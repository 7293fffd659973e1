/**
 * ACLs where an attribute keeps owners and modes: they are kept beside it (`xattr-names.ts`).
 *
 * Rule: an ACL and the mode that goes with it change together or not at all.
 */
import { ACL } from '../../sys/constants.js';
import { E, unless } from '../../sys/errno.js';
import { removexattrat, setxattrat } from '../../sys/syscalls.js';
import type { OverrideXattr } from '../layers/owner-xattrs.js';
import type { Place } from '../layers/place.js';
import { finish } from '../rules/finish.js';
import { escapeXattr } from './xattr-names.js';

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
