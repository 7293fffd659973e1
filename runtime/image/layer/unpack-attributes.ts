/**
 * Sets owner, mode, extended attributes and time of unpacked entries.
 *
 * Rules: in this order, because chown(2) clears set-id bits and capabilities, and setting the others does not change the
 * mtime. Xattr names of the union are stored escaped, so that an image cannot contain active marks, and an image with
 * layers inside keeps them. Attributes that the process may not set (trusted ones, without root) or the filesystem does
 * not support are skipped and counted. With one id, owners, modes and types are stored in an xattr, if it can be set
 * (`fs/union/owners/id-mapping.ts`). Compare createTarFile in moby's pkg/archive and ForceMask in containers/storage.
 */

import {
  CONTAINERS_OVERRIDE,
  canGiveAway,
  escapeXattr,
  type Override,
  type OverrideXattr,
  record,
} from '../../../fs/layers.js';
import { S } from '../../../fs/sys/constants.js';
import { E, unless } from '../../../fs/sys/errno.js';
import type { Time } from '../../../fs/sys/stat.js';
import { fchmodat, fchownat, setxattrat, utimensat } from '../../../fs/sys/syscalls.js';
import type { EntryType } from '../tar/tar-entry.js';

export interface Attributes {
  readonly type: Exclude<EntryType, 'link'>;
  /** Of a device. */
  readonly major: number;
  readonly minor: number;
  /** Permission bits, with set-id and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Time;
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

/** The file types of entries, as st_mode has them. */
export const TYPE_BITS: Readonly<Record<Attributes['type'], number>> = {
  file: S.IFREG,
  directory: S.IFDIR,
  symlink: S.IFLNK,
  character: S.IFCHR,
  block: S.IFBLK,
  fifo: S.IFIFO,
};

/** The recorded attributes of an entry whose inode cannot have them. */
export const overrideOf = ({ type, mode, uid, gid, major, minor }: Attributes): Override => ({
  uid,
  gid,
  mode: TYPE_BITS[type] | mode,
  rdevMajor: major,
  rdevMinor: minor,
});

/** The xattr that stores owners in a new layer; undefined if inodes can store them, or xattrs are not supported. */
export function keepFor(rootFd: number): OverrideXattr | undefined {
  if (canGiveAway()) return undefined;
  return unless([E.EOPNOTSUPP, E.EPERM], () => {
    setxattrat(rootFd, '', CONTAINERS_OVERRIDE, Buffer.from(''));
    return CONTAINERS_OVERRIDE;
  });
}

/** Errors of chown(2): no permission, or an id that is not mapped. */
const OWNER_REFUSED = [E.EPERM, E.EINVAL];
const XATTR_REFUSED = [E.EPERM, E.EOPNOTSUPP];

/**
 * Sets the attributes of `name` in `dirfd`; an empty name means the descriptor itself.
 * @param keep the xattr that stores owners; undefined if inodes do. A symlink was created with the attributes it can have
 * @returns the number of skipped attributes
 * @throws Errno
 */
export function applyAttributes(
  dirfd: number,
  name: string,
  attributes: Attributes,
  keep?: OverrideXattr,
): number {
  const { type, mode, uid, gid, mtime, xattrs } = attributes;
  let skipped = 0;
  const attempt = (refusals: readonly number[], set: () => void): void => {
    const done = unless(refusals, () => {
      set();
      return true;
    });
    if (done !== true) skipped += 1;
  };
  if (keep === undefined) {
    attempt(OWNER_REFUSED, () => fchownat(dirfd, name, uid, gid));
    if (type !== 'symlink') fchmodat(dirfd, name, mode);
  } else if (type !== 'symlink') {
    record(keep, { dirfd, name }, overrideOf(attributes));
  }
  for (const [attribute, value] of xattrs) {
    attempt(XATTR_REFUSED, () => setxattrat(dirfd, name, escapeXattr(attribute, keep), value));
  }
  utimensat(dirfd, name, mtime, mtime);
  return skipped;
}
