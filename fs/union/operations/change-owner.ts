/**
 * chown(2) and chmod(2) of nodes in upper, wherever upper keeps owners and modes.
 *
 * Rules: ids come as the mount shows them and are kept as on disk. Where an attribute keeps them, taking set-id bits and
 * capabilities away at chown(2) is ours (chown_common), an ACL follows chmod(2), and the inode's own mode follows. A
 * refused chown(2) does not matter where every owner is shown as the same one (fuse-overlayfs' do_fchown).
 */
import { ACL, S } from '../../sys/constants.js';
import { E, unless } from '../../sys/errno.js';
import { fchmodat, fchownat, getxattrat, removexattrat, statat, utimensat } from '../../sys/syscalls.js';
import type { OverrideXattr } from '../layers/owner-xattrs.js';
import type { Place } from '../layers/place.js';
import { DirectoryNode, type FileNode, type Node } from '../nodes/node.js';
import { layerOf, locate } from '../nodes/place.js';
import type { Union } from '../nodes/union.js';
import { afterChmod } from '../owners/acl.js';
import { makeSymlink } from '../owners/create-overridden.js';
import { diskOwner, modeAfterChown, type Owner, squashes } from '../owners/id-mapping.js';
import { orKeepAcl, writeAcl } from '../owners/stored-acl.js';
import { linkTarget, rerecord } from '../owners/stored-owners.js';
import { escapeXattr } from '../owners/xattr-names.js';

/** An id that is left out stays. */
interface OwnerChange {
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

/** chown(2). */
export function changeOwner(union: Union, node: Node, { uid, gid }: OwnerChange): void {
  const { ownership } = union.settings;
  const disk = diskOwner(ownership, { uid: uid ?? 0, gid: gid ?? 0 });
  const change = {
    uid: uid === undefined ? undefined : disk.uid,
    gid: gid === undefined ? undefined : disk.gid,
  };
  const { override } = layerOf(node);
  if (override !== undefined) changeRecorded(union, override, node, change);
  else {
    const { dirfd, name } = locate(union, node);
    const chown = (): void => fchownat(dirfd, name, change.uid ?? KEEP, change.gid ?? KEEP);
    if (squashes(ownership)) unless(REFUSED, chown);
    else chown();
  }
}

const KEEP = -1;
const REFUSED = [E.EPERM, E.EINVAL];

function changeRecorded(union: Union, attribute: OverrideXattr, node: Node, change: OwnerChange): void {
  if (!(node instanceof DirectoryNode) && node.type === S.IFLNK) {
    replaceSymlink(union, attribute, node, change);
    return;
  }
  const place = locate(union, node);
  dropCapability(attribute, place);
  rerecord(attribute, place, (now) => ({ ...changed(now, change), mode: modeAfterChown(now.mode) }));
}

const changed = (owner: Owner, { uid, gid }: OwnerChange): Owner => ({
  uid: uid ?? owner.uid,
  gid: gid ?? owner.gid,
});

/** A file whose data changes loses its capability (file_remove_privs). The kernel removes it from inodes. */
export function loseCapability(union: Union, node: FileNode): void {
  const { override } = layerOf(node);
  if (override === undefined || node.bare) return;
  dropCapability(override, locate(union, node));
  node.bare = true;
}

function dropCapability(attribute: OverrideXattr, { dirfd, name }: Place): void {
  unless([E.ENODATA], () => removexattrat(dirfd, name, escapeXattr('security.capability', attribute)));
}

/** A symlink that gets another owner becomes a file that can tell so. One with several names stays as it is. */
function replaceSymlink(union: Union, attribute: OverrideXattr, node: FileNode, change: OwnerChange): void {
  const { work } = union.writable();
  const { dirfd, name } = locate(union, node);
  const stat = name === '' ? undefined : statat(dirfd, name);
  if (stat === undefined || stat.nlink > 1) return;
  const owner = changed(stat, change);
  if (stat.uid === owner.uid && stat.gid === owner.gid) return;
  const staged = work.temporary();
  try {
    const override = { ...stat, ...owner };
    makeSymlink(attribute, { dirfd: work.fd, name: staged }, linkTarget({ dirfd, name }), override);
    utimensat(work.fd, staged, stat.atime, stat.mtime);
    const made = statat(work.fd, staged);
    work.install(staged, dirfd, name, false);
    if (made !== undefined) node.becomes(made);
  } catch (error) {
    work.discard(staged);
    throw error;
  }
}

/** chmod(2). */
export function changeMode(union: Union, node: Node, mode: number): void {
  const { override } = layerOf(node);
  const place = locate(union, node);
  if (override === undefined) {
    fchmodat(place.dirfd, place.name, mode);
    return;
  }
  const set = (): void =>
    rerecord(override, place, (now) => ({ mode: (now.mode & S.IFMT) | (mode & ~S.IFMT) }));
  const acl = getxattrat(place.dirfd, place.name, escapeXattr(ACL.ACCESS, override));
  if (acl === undefined) {
    set();
    return;
  }
  const next = afterChmod(acl, mode);
  orKeepAcl(override, place, acl, () => {
    writeAcl(override, place, ACL.ACCESS, next);
    set();
  });
}
