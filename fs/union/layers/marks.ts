/**
 * The marks that a union's layers carry in extended attributes: opaque, redirect, metacopy, whiteout files.
 *
 * Rule: overlayfs' names and values; `trusted.overlay.` as root, `user.overlay.` without privilege. What reads them is
 * `whiteout.ts`, and `origin.ts` for its own. Compare ovl_xattr_table and ovl_check_setxattr in fs/overlayfs.
 */
import { E, Errno, unless } from '../../sys/errno.js';
import { getxattrat, listxattrat, removexattrat, setxattrat } from '../../sys/syscalls.js';
import { withOwnersRights } from './lend.js';

/** With privilege, and without. */
export const PRIVILEGED_PREFIX = 'trusted.overlay.';
export const OVERLAY_PREFIXES = [PRIVILEGED_PREFIX, 'user.overlay.'] as const;
export type OverlayPrefix = (typeof OVERLAY_PREFIXES)[number];

/** How a filesystem refuses a mark; where the mark is a hint only, it is left out then. */
export const MARK_REFUSED = [E.EPERM, E.EOPNOTSUPP, E.ENOSPC];

const yes = Buffer.from('y');

const METACOPY_XATTR = 'trusted.overlay.metacopy';

/** Whether a file is a metadata-only copy: its data is elsewhere and is not followed, so it must not be read here. */
export const isMetacopy = (dirfd: number, name: string): boolean =>
  getxattrat(dirfd, name, METACOPY_XATTR) !== undefined;

/** Marks a directory as one that may hold whiteout files, unless nothing shows through it anyway. */
export function markHoldsWhiteoutFiles(prefix: OverlayPrefix, dirfd: number): void {
  const attribute = `${prefix}opaque`;
  if (listxattrat(dirfd, '').includes(attribute)) return;
  withOwnersRights([{ dirfd, name: '' }], () => setxattrat(dirfd, '', attribute, Buffer.from('x')));
}

/** Marks a directory of upper or work as opaque. */
export function markOpaque(prefix: OverlayPrefix, dirfd: number, name: string): void {
  withOwnersRights([{ dirfd, name }], () => setxattrat(dirfd, name, `${prefix}opaque`, yes));
}

/** Records where the lower directories of a directory in upper or work are. */
export function setRedirect(prefix: OverlayPrefix, dirfd: number, name: string, redirect: string): void {
  setxattrat(dirfd, name, `${prefix}redirect`, Buffer.from(redirect, 'latin1'));
}

/** Whether a directory's filesystem keeps marks at all; NFS before 5.9, vfat and ramfs have no attributes. */
export function keepsMarks(dirfd: number): boolean {
  return OVERLAY_PREFIXES.some((prefix) =>
    unless([E.EPERM, E.EOPNOTSUPP], () => {
      setxattrat(dirfd, '', `${prefix}probe`, yes);
      unless([E.ENODATA], () => removexattrat(dirfd, '', `${prefix}probe`)); // another process may be asking too
      return true;
    }),
  );
}

/** Which xattr form this process may write on this filesystem; `dirfd` is a directory of work. */
export function writablePrefix(dirfd: number): OverlayPrefix {
  for (const prefix of OVERLAY_PREFIXES) {
    try {
      setxattrat(dirfd, '', `${prefix}opaque`, yes);
      return prefix;
    } catch (error) {
      if (!(error instanceof Errno) || (error.code !== E.EPERM && error.code !== E.EOPNOTSUPP)) throw error;
    }
  }
  throw new Errno(E.EOPNOTSUPP, 'setxattr');
}
