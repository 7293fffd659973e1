/**
 * Owner, mode, extended attributes and time of what was unpacked.
 *
 * Rules: in this order, because chown(2) clears set-id bits and capabilities, and everything else changes no mtime.
 * Names that the union uses itself are stored escaped, so that an image cannot plant marks and one that contains layers
 * keeps them. What the process may not set (owners, trusted and security attributes, when it is not root) or the
 * filesystem cannot hold is left out and counted. Compare createTarFile in moby's pkg/archive.
 */
import { E, unless } from '../../fs/sys/errno.js';
import type { Time } from '../../fs/sys/stat.js';
import { fchmodat, fchownat, setxattrat, utimensat } from '../../fs/sys/syscalls.js';
import { escapeXattr } from '../../fs/union/xattr.js';

export interface Attributes {
  /** Permission bits, with set-id and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Time;
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

/** No right to, or an id that the user namespace does not map. */
const OWNER_REFUSED = [E.EPERM, E.EINVAL];
const XATTR_REFUSED = [E.EPERM, E.EOPNOTSUPP];

/**
 * Sets the attributes of `name` in `dirfd`; an empty name means the descriptor itself.
 * @returns how many were left out
 * @throws Errno
 */
export function applyAttributes(
  dirfd: number,
  name: string,
  { mode, uid, gid, mtime, xattrs }: Attributes,
  isSymlink = false,
): number {
  let skipped = 0;
  const attempt = (refusals: readonly number[], set: () => void): void => {
    const done = unless(refusals, () => {
      set();
      return true;
    });
    if (done !== true) skipped += 1;
  };
  attempt(OWNER_REFUSED, () => fchownat(dirfd, name, uid, gid));
  if (!isSymlink) fchmodat(dirfd, name, mode);
  for (const [attribute, value] of xattrs) {
    attempt(XATTR_REFUSED, () => setxattrat(dirfd, name, escapeXattr(attribute), value));
  }
  utimensat(dirfd, name, mtime, mtime);
  return skipped;
}
