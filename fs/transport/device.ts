/**
 * /dev/fuse: opening it and attaching it to a mountpoint with mount(2).
 *
 * Rule: the kernel checks permissions (`default_permissions`), for everybody (`allow_other`), because opens never
 * reach the server. Compare fuse_parse_param and fuse_get_tree in fs/fuse/inode.c.
 */
import { AT, MNT_DETACH, MS, O, S } from '../sys/constants.js';
import { E, Errno } from '../sys/errno.js';
import { mount, openat, umount2 } from '../sys/syscalls.js';

export const FUSE_TYPE = 'fuse.unionfs';
/** mount(2) takes a source of at most a page; longer ones are cut here, `unionfs inspect` has the whole stack. */
const SOURCE_MAX = 4000;

/** Mount options that are flags of mount(2), as in mount(8). */
export const MOUNT_FLAGS: Readonly<Record<string, number>> = {
  ro: MS.RDONLY,
  nosuid: MS.NOSUID,
  nodev: MS.NODEV,
  noexec: MS.NOEXEC,
  noatime: MS.NOATIME,
  nodiratime: MS.NODIRATIME,
  relatime: MS.RELATIME,
  sync: MS.SYNCHRONOUS,
  dirsync: MS.DIRSYNC,
};

/** Opens the device; the loop polls it, so reads do not block. Throws `Errno` ENOENT, ENODEV, EACCES or EPERM. */
export function openDevice(): number {
  return openat(AT.FDCWD, '/dev/fuse', O.RDWR | O.NONBLOCK);
}

/** Attaches the device to a directory. */
export function attach(fd: number, mountpoint: string, source: string, flags: number): void {
  const shown = source.length > SOURCE_MAX ? `${source.slice(0, SOURCE_MAX)}...` : source;
  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  const rootmode = S.IFDIR.toString(8);
  const data = `fd=${fd},rootmode=${rootmode},user_id=${uid},group_id=${gid},default_permissions,allow_other`;
  mount(shown, mountpoint, FUSE_TYPE, flags, data);
}

/** Detaches a mount; false when it is busy. A lazy one ends when its last user leaves. */
export function detach(mountpoint: string, lazy: boolean): boolean {
  try {
    umount2(mountpoint, lazy ? MNT_DETACH : 0);
    return true;
  } catch (error) {
    if (error instanceof Errno && error.code === E.EBUSY) return false;
    if (error instanceof Errno && error.code === E.EINVAL) return true; // gone already
    throw error;
  }
}
