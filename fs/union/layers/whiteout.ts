/**
 * Whiteouts and opaque directories on disk: every form is read, overlayfs' form is written.
 *
 * Rules:
 * - Read in any layer: `.wh.NAME` and `.wh..wh..opq` (the aufs and OCI form; such names are never shown, and cannot be
 *   created; in upper they are rewritten, see dot-names.ts); a 0/0 character device; an empty regular file with an overlay.whiteout xattr, in a
 *   layer whose root is marked for them (overlay.opaque = "x"); a directory with `trusted.overlay.opaque`,
 *   `user.overlay.opaque` or `user.fuseoverlayfs.opaque` = "y".
 * - Written: the device, or the file where upper's filesystem refuses the device as unions do; for directories the
 *   xattr. Xattrs are `trusted.overlay.` as root, `user.overlay.` without privilege.
 *
 * Compare ovl_is_whiteout, ovl_path_check_xwhiteout_xattr and ovl_path_check_dir_xattr in fs/overlayfs/util.c.
 */
import { NAME_MAX, O, S } from '../../sys/constants.js';
import { E, Errno, unless } from '../../sys/errno.js';
import { isDirectory, isRegular, isWhiteoutDevice, type Stat } from '../../sys/stat.js';
import { close, getxattrat, listxattrat, mknodat, openat, setxattrat, statat } from '../../sys/syscalls.js';
import type { Kind, LayerEntry, OpaqueForm } from '../rules/merge.js';
import type { LayerDirectory } from './layer.js';
import { OVERLAY_PREFIXES, type OverlayPrefix } from './marks.js';

/** A name that hides its suffix in the layers below (aufs, OCI image specification "Whiteouts"). */
export const DOT_WHITEOUT = '.wh.';
export const DOT_OPAQUE = '.wh..wh..opq';

const OPAQUE_XATTRS = [...OVERLAY_PREFIXES.map((prefix) => `${prefix}opaque`), 'user.fuseoverlayfs.opaque'];
const WHITEOUT_XATTRS = OVERLAY_PREFIXES.map((prefix) => `${prefix}whiteout`);
/** Owners of files may write `user.` xattrs: following such a redirect would let them see what they may not. */
const REDIRECT_XATTR = 'trusted.overlay.redirect';
const YES = 'y'.charCodeAt(0);
const yes = Buffer.from([YES]);
const NOTHING = Buffer.alloc(0);

export const isDotName = (name: string): boolean => name.startsWith(DOT_WHITEOUT);

/** The name that a name in a layer's directory says something of; undefined for those about the whole directory. */
export function namedBy(name: string): string | undefined {
  if (!isDotName(name)) return name;
  const hidden = name.slice(DOT_WHITEOUT.length);
  return hidden === '' || hidden === '.' || hidden === '..' || isDotName(hidden) ? undefined : hidden;
}

/** An empty file that is an xattr whiteout, as a nested overlay creates it; its mode may forbid reading the value. */
function isXattrWhiteout(dirfd: number, name: string, stat: Stat): boolean {
  if (!isRegular(stat.mode) || stat.size !== 0) return false;
  const attributes = listxattrat(dirfd, name);
  return WHITEOUT_XATTRS.some((attribute) => attributes.includes(attribute));
}

function kindOf(mode: number): Kind {
  const type = mode & S.IFMT;
  return type === S.IFREG ? 'file' : type === S.IFLNK ? 'symlink' : 'special';
}

/** How the directory `name` in another merges with those below: not at all, or with some that lie elsewhere. */
export function directoryEntry({ holdsDotNames }: LayerDirectory, dirfd: number, name: string): LayerEntry {
  const attributes = listxattrat(dirfd, name);
  if (attributes.length > 0) {
    if (OPAQUE_XATTRS.some((attribute) => attributes.includes(attribute) && isYes(dirfd, name, attribute)))
      return { is: 'directory', opaque: 'xattr' };
  }
  const opaque = dotOpaque(dirfd, name, holdsDotNames !== false);
  if (opaque !== undefined) return { is: 'directory', opaque };
  return attributes.includes(REDIRECT_XATTR)
    ? { is: 'directory', redirect: readRedirect(dirfd, name) }
    : { is: 'directory' };
}

/** Whether a mark is set. One that may not be read counts: nothing that may be hidden is shown. */
const isYes = (dirfd: number, name: string, attribute: string): boolean =>
  (unless([E.EACCES], () => getxattrat(dirfd, name, attribute) ?? NOTHING) ?? yes)[0] === YES;

/** @param beside whether `.wh.` names may lie beside it */
function dotOpaque(dirfd: number, name: string, beside: boolean): OpaqueForm | undefined {
  if (statat(dirfd, `${name}/${DOT_OPAQUE}`) !== undefined) return 'dot-wh-opq';
  return beside && hasDotWhiteout(dirfd, name) ? 'dot-wh' : undefined;
}

/** Whether `.wh.NAME` lies beside; a name too long for that cannot have one. */
function hasDotWhiteout(dirfd: number, name: string): boolean {
  const whiteout = DOT_WHITEOUT + name;
  return whiteout.length <= NAME_MAX && statat(dirfd, whiteout) !== undefined;
}

/** A redirect, checked as the kernel does (ovl_get_redirect_xattr): names only, never "..". */
function readRedirect(dirfd: number, name: string): string {
  const redirect = getxattrat(dirfd, name, REDIRECT_XATTR)?.toString('latin1') ?? '';
  const names = redirect.startsWith('/') ? redirect.slice(1).split('/') : [redirect];
  if (names.some((part) => part === '' || part === '.' || part === '..' || /[/\0]/.test(part))) {
    throw new Errno(E.EIO, 'redirect');
  }
  return redirect;
}

/** Whether the merge continues in the layers below, and with which name. */
export interface Depth {
  /** A deeper layer has the same parent directory. */
  readonly sameName: boolean;
  /** There is a deeper layer at all. */
  readonly anyName: boolean;
}

/**
 * What a layer's directory holds under `name`, given its stat.
 * @param dirfd its descriptor
 */
export function classify(
  directory: LayerDirectory,
  dirfd: number,
  name: string,
  stat: Stat | undefined,
  below: Depth,
): LayerEntry {
  if (stat === undefined) {
    const hidden = below.sameName && directory.holdsDotNames !== false && hasDotWhiteout(dirfd, name);
    return hidden ? { is: 'whiteout', form: 'dot-wh' } : { is: 'absent' };
  }
  if (isDirectory(stat.mode)) {
    return below.anyName ? directoryEntry(directory, dirfd, name) : { is: 'directory' };
  }
  if (isWhiteoutDevice(stat)) return { is: 'whiteout', form: 'device' };
  if (directory.layer.hasXattrWhiteouts && isXattrWhiteout(dirfd, name, stat))
    return { is: 'whiteout', form: 'xattr' };
  return { is: kindOf(stat.mode) };
}

/** What deletions are written as. A union refuses the device to those who use it as upper: there it is the xattr. */
export type WrittenWhiteout = 'device' | 'xattr';

/** Creates a whiteout device in one step; its mode is 0 as the kernel's (ovl_do_whiteout). */
export function makeWhiteoutDevice(dirfd: number, name: string): void {
  mknodat(dirfd, name, S.IFCHR, 0, 0);
}

const PRIVATE = 0o600;

/** Creates a whiteout file in two steps, so only in the work directory, where it is not visible. */
export function makeWhiteoutFile(prefix: OverlayPrefix, dirfd: number, name: string): void {
  close(openat(dirfd, name, O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW, PRIVATE));
  setxattrat(dirfd, name, `${prefix}whiteout`, yes);
}

/** Which form of a whiteout this process may write on this filesystem; `dirfd` is a directory of work. */
export function writableWhiteout(dirfd: number): WrittenWhiteout {
  const refused = unless([E.EPERM], () => {
    makeWhiteoutDevice(dirfd, 'probe');
    return false;
  });
  return refused === false ? 'device' : 'xattr';
}
