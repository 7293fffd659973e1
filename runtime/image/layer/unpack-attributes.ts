/**
 * Owner, mode, extended attributes and time of what was unpacked.
 *
 * Rules: in this order, because chown(2) clears set-id bits and capabilities, and everything else changes no mtime.
 * Names that the union uses itself are stored escaped, so that an image cannot plant marks and one that contains layers
 * keeps them. What the process may not set (trusted attributes, when it is not root) or the filesystem cannot hold is
 * left out and counted. Who has one id alone keeps owners, modes and types in an attribute, if that can be set
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

/** What is recorded for an entry whose inode cannot have its attributes. */
export const overrideOf = ({ type, mode, uid, gid, major, minor }: Attributes): Override => ({
  uid,
  gid,
  mode: TYPE_BITS[type] | mode,
  rdevMajor: major,
  rdevMinor: minor,
});

/** The attribute that has to keep owners in a new layer; undefined if inodes can, or the filesystem has none. */
export function keepFor(rootFd: number): OverrideXattr | undefined {
  if (canGiveAway()) return undefined;
  return unless([E.EOPNOTSUPP, E.EPERM], () => {
    setxattrat(rootFd, '', CONTAINERS_OVERRIDE, Buffer.from(''));
    return CONTAINERS_OVERRIDE;
  });
}

/** No right to, or an id that the user namespace does not map. */
const OWNER_REFUSED = [E.EPERM, E.EINVAL];
const XATTR_REFUSED = [E.EPERM, E.EOPNOTSUPP];

/**
 * Sets the attributes of `name` in `dirfd`; an empty name means the descriptor itself.
 * @param keep the attribute that keeps owners; undefined where inodes do. A symlink is made with what it can keep
 * @returns how many were left out
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
