/**
 * Copies of single entries: kind, data, owner, mode, xattrs, times, each in one function.
 *
 * Rule: a copy is complete or an error is thrown; it is made private first and gets its rights last but one, its times
 * last. Compare ovl_copy_up_data, ovl_copy_xattr and ovl_set_attr in fs/overlayfs/copy_up.c.
 */
import { isAcl, O, S } from '../../sys/constants.js';
import { E, unless } from '../../sys/errno.js';
import { isDirectory, isRegular, isSymlink, type Stat } from '../../sys/stat.js';
import {
  close,
  fchmodat,
  fchownat,
  getxattrat,
  listxattrat,
  mkdirat,
  mknodat,
  openat,
  setxattrat,
  symlinkat,
  utimensat,
} from '../../sys/syscalls.js';
import { copyData } from '../layers/copy-data.js';
import { type LayerDirectory, openData } from '../layers/layer.js';
import { COPY_OVERRIDE, type OverrideXattr } from '../layers/owner-xattrs.js';
import { makeSymlink } from './create-overridden.js';
import {
  diskMode,
  formatOverride,
  isDevice,
  modeAfterChown,
  type Ownership,
  squashes,
} from './id-mapping.js';
import { linkTarget, recordInCopy } from './stored-owners.js';
import { unescapeXattr } from './xattr-names.js';

/** What is copied. */
export interface Source {
  readonly directory: LayerDirectory;
  /** Its name there; empty for the directory itself. */
  readonly name: string;
  readonly dirfd: number;
  /** What its layer records (`stored-owners.ts`): the kind of the copy, its owner and mode. */
  readonly stat: Stat;
  /** How much of a regular file's data is needed: all, or what a truncation leaves. */
  readonly needed: number;
  /** The copy is what a truncation makes of it: modified now, without a capability. */
  readonly isCut?: boolean;
}

export function kindOf(stat: Stat): 'file' | 'directory' | 'symlink' | 'special' {
  if (isDirectory(stat.mode)) return 'directory';
  if (isRegular(stat.mode)) return 'file';
  return isSymlink(stat.mode) ? 'symlink' : 'special';
}

/**
 * Creates an empty copy that only we can open; gives the open descriptor of a regular file, -1 for other kinds.
 * @param override the attribute that keeps owners where the copy lies; undefined where inodes do
 */
export function createEmpty(source: Source, dirfd: number, name: string, override?: OverrideXattr): number {
  const { stat } = source;
  switch (kindOf(stat)) {
    case 'directory':
      mkdirat(dirfd, name, 0o700);
      return -1;
    case 'file':
      return openat(dirfd, name, NEW_FILE, 0o600);
    case 'symlink':
      if (override === undefined || override === COPY_OVERRIDE) symlinkat(linkTarget(source), dirfd, name);
      else makeSymlink(override, { dirfd, name }, linkTarget(source), stat);
      return -1;
    case 'special':
      if (override === undefined || (override === COPY_OVERRIDE && !isDevice(stat.mode & S.IFMT)))
        mknodat(dirfd, name, stat.mode & S.IFMT, stat.rdevMajor, stat.rdevMinor);
      else close(openat(dirfd, name, NEW_FILE, 0o600));
      return -1;
  }
}

const NEW_FILE = O.RDWR | O.CREAT | O.EXCL | O.NOFOLLOW;

export function copyFileData({ directory, dirfd, name, stat, needed }: Source, to: number): void {
  const length = Number(stat.size);
  const size = Math.min(needed, length);
  if (size === 0) return; // also of a file that may not be read
  const from = openData(directory, dirfd, name, O.RDONLY);
  try {
    copyData(from, to, size, length);
  } finally {
    close(from);
  }
}

/** A symlink is made with what it can keep. */
export function copyOwner(
  { stat }: Source,
  dirfd: number,
  name: string,
  override?: OverrideXattr,
  ownership?: Ownership,
): void {
  if (override === undefined) {
    unless(squashes(ownership) ? CHOWN_REFUSED : [], () => fchownat(dirfd, name, stat.uid, stat.gid));
  } else if (override === COPY_OVERRIDE) recordInCopy({ dirfd, name }, stat);
  else if (!isSymlink(stat.mode)) setxattrat(dirfd, name, override, formatOverride(stat));
}

/** No right to, or an id that the user namespace does not map. */
const CHOWN_REFUSED = [E.EPERM, E.EINVAL];

/** A symlink's mode cannot be set, and does not matter. */
export function copyMode(
  { stat }: Source,
  dirfd: number,
  name: string,
  override?: OverrideXattr,
  ownership?: Ownership,
): void {
  if (isSymlink(stat.mode)) return;
  // where owners do not matter, the copy may be another's: it lends nobody his rights (modeAfterChown)
  const mode = squashes(ownership) ? modeAfterChown(stat.mode) : stat.mode;
  const isOwn = override === undefined || override === COPY_OVERRIDE;
  fchmodat(dirfd, name, isOwn ? mode & ~S.IFMT : diskMode(stat.mode));
}

export function copyTimes({ stat, isCut }: Source, dirfd: number, name: string): void {
  if (isCut === true) utimensat(dirfd, name, stat.atime, 'now');
  else setTimes(stat, dirfd, name);
}

export function setTimes(stat: Stat, dirfd: number, name: string): void {
  utimensat(dirfd, name, stat.atime, stat.mtime);
}

const CAPABILITY = 'security.capability';

/**
 * Which refusals upper's filesystem may answer a copied xattr with: what grants or withholds rights must arrive
 * (ovl_must_copy_xattr), security labels are the policy's own.
 */
function refusalsAllowed(attribute: string, override: OverrideXattr | undefined): number[] {
  if (override === COPY_OVERRIDE && isAcl(attribute)) return [E.EINVAL]; // it names ids that do not exist
  if (attribute === CAPABILITY || isAcl(attribute)) return [];
  return attribute.startsWith('security.') ? [E.EOPNOTSUPP, E.EPERM, E.EACCES] : [E.EOPNOTSUPP];
}

/**
 * All xattrs, ACLs and capabilities among them, but not the union's own marks.
 * @param rename what an attribute is called in the copy, given the name that users see
 */
export function copyXattrs(
  { directory, dirfd, name, isCut }: Source,
  toFd: number,
  to: string,
  rename: (attribute: string) => string,
  override?: OverrideXattr,
): void {
  for (const attribute of listxattrat(dirfd, name)) {
    const seen = unescapeXattr(attribute, directory.layer.override);
    const copied = seen === undefined ? undefined : rename(seen);
    const value = copied === undefined ? undefined : getxattrat(dirfd, name, attribute);
    if (copied === undefined || value === undefined) continue;
    if (isCut === true && seen === CAPABILITY) continue;
    unless(refusalsAllowed(attribute, override), () => setxattrat(toFd, to, copied, value));
  }
}
