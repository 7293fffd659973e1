/**
 * Copies of single entries: kind, data, owner, mode, xattrs, times, each in one function.
 *
 * Rule: a copy is complete or an error is thrown; it is made private first and gets its rights last but one, its times
 * last. Compare ovl_copy_up_data, ovl_copy_xattr and ovl_set_attr in fs/overlayfs/copy_up.c.
 */
import { isAcl, O, S } from '../sys/constants.js';
import { E, unless } from '../sys/errno.js';
import { isDirectory, isRegular, isSymlink, type Stat } from '../sys/stat.js';
import {
  close,
  fchmodat,
  fchownat,
  getxattrat,
  listxattrat,
  mkdirat,
  mknodat,
  openat,
  readlinkat,
  setxattrat,
  symlinkat,
  utimensat,
} from '../sys/syscalls.js';
import { copyData } from './copy-data.js';
import { type LayerDirectory, openData } from './layer.js';
import { isPrivateXattr } from './xattr.js';

/** What is copied. */
export interface Source {
  readonly directory: LayerDirectory;
  /** Its name there; empty for the directory itself. */
  readonly name: string;
  readonly dirfd: number;
  readonly stat: Stat;
  /** How much of a regular file's data is needed: all, or what a truncation leaves. */
  readonly keep: number;
}

export function kindOf(stat: Stat): 'file' | 'directory' | 'symlink' | 'special' {
  if (isDirectory(stat.mode)) return 'directory';
  if (isRegular(stat.mode)) return 'file';
  return isSymlink(stat.mode) ? 'symlink' : 'special';
}

/** Creates an empty copy that only we can open; gives the open descriptor of a regular file, -1 for other kinds. */
export function createEmpty({ dirfd, name: from, stat }: Source, toDirfd: number, name: string): number {
  switch (kindOf(stat)) {
    case 'directory':
      mkdirat(toDirfd, name, 0o700);
      return -1;
    case 'file':
      return openat(toDirfd, name, O.RDWR | O.CREAT | O.EXCL | O.NOFOLLOW, 0o600);
    case 'symlink':
      symlinkat(readlinkat(dirfd, from), toDirfd, name);
      return -1;
    case 'special':
      mknodat(toDirfd, name, stat.mode & S.IFMT, stat.rdevMajor, stat.rdevMinor);
      return -1;
  }
}

export function copyFileData({ directory, dirfd, name, stat, keep }: Source, to: number): void {
  const from = openData(directory, dirfd, name, O.RDONLY);
  try {
    copyData(from, to, Math.min(keep, Number(stat.size)), Number(stat.size));
  } finally {
    close(from);
  }
}

export function copyOwner({ stat }: Source, dirfd: number, name: string): void {
  fchownat(dirfd, name, stat.uid, stat.gid);
}

/** A symlink's mode cannot be set, and does not matter. */
export function copyMode({ stat }: Source, dirfd: number, name: string): void {
  if (!isSymlink(stat.mode)) fchmodat(dirfd, name, stat.mode & ~S.IFMT);
}

export function copyTimes({ stat }: Source, dirfd: number, name: string): void {
  setTimes(stat, dirfd, name);
}

export function setTimes(stat: Stat, dirfd: number, name: string): void {
  utimensat(dirfd, name, stat.atime, stat.mtime);
}

/**
 * Which refusals upper's filesystem may answer a copied xattr with: what grants or withholds rights must arrive
 * (ovl_must_copy_xattr), security labels are the policy's own.
 */
function refusalsAllowed(attribute: string): number[] {
  if (attribute === 'security.capability' || isAcl(attribute)) return [];
  return attribute.startsWith('security.') ? [E.EOPNOTSUPP, E.EPERM, E.EACCES] : [E.EOPNOTSUPP];
}

/**
 * All xattrs, ACLs and capabilities among them, but not the union's own marks.
 * @param rename what an attribute is called in the copy; undefined leaves it out
 */
export function copyXattrs(
  { dirfd, name }: Source,
  toFd: number,
  to: string,
  rename: (attribute: string) => string | undefined = withoutMarks,
): void {
  for (const attribute of listxattrat(dirfd, name)) {
    const copied = rename(attribute);
    const value = copied === undefined ? undefined : getxattrat(dirfd, name, attribute);
    if (copied === undefined || value === undefined) continue;
    unless(refusalsAllowed(attribute), () => setxattrat(toFd, to, copied, value));
  }
}

const withoutMarks = (attribute: string): string | undefined =>
  isPrivateXattr(attribute) ? undefined : attribute;
