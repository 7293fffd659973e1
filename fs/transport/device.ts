/**
 * /dev/fuse: opening it and attaching it to a mountpoint, with mount(2) or, for ordinary users, by fusermount3(1).
 *
 * Rule: the kernel checks permissions (`default_permissions`), because opens never reach the server; with mount(2)
 * for everybody (`allow_other`). Compare fuse_parse_param and fuse_get_tree in fs/fuse/inode.c.
 */
import { AT, MNT_DETACH, O, S, UMOUNT_NOFOLLOW } from '../sys/constants.js';
import { E, Errno, unless } from '../sys/errno.js';
import { close, fstat, mount, openat, umount2 } from '../sys/syscalls.js';
import { helperMount, helperUnmount, type Refusal } from './fusermount.js';

const SUBTYPE = 'unionfs';
export const FUSE_TYPE = `fuse.${SUBTYPE}`;
/** mount(2) takes a source of at most a page; longer ones are cut here, `unionfs inspect` has the whole stack. */
const SOURCE_MAX = 4000;

/** With its number, "major:minor" (the kernel's Documentation/admin-guide/devices.txt). */
export const FUSE_DEVICE = { path: '/dev/fuse', number: '10:229' } as const;

/** Opens the device; the loop polls it, so reads do not block. Throws `Errno` ENOENT, ENODEV, EACCES or EPERM. */
export function openDevice(): number {
  const fd = openat(AT.FDCWD, FUSE_DEVICE.path, O.RDWR | O.NONBLOCK);
  const { mode, rdevMajor, rdevMinor } = fstat(fd);
  if ((mode & S.IFMT) === S.IFCHR && `${rdevMajor}:${rdevMinor}` === FUSE_DEVICE.number) return fd;
  close(fd); // another device node, e.g. of a sandbox
  throw new Errno(E.ENODEV, 'open');
}

export interface MountRequest {
  readonly mountpoint: string;
  /** What /proc/mounts shows as source. */
  readonly source: string;
  /** Flags of mount(2). */
  readonly flags: number;
  /** SELinux' context of all that is mounted. */
  readonly context?: string;
}

const shorten = (source: string): string =>
  source.length > SOURCE_MAX ? `${source.slice(0, SOURCE_MAX)}...` : source;

/** Attaches the device to a directory with mount(2); false if this user may not. Throws `Errno`. */
export function attach(fd: number, { mountpoint, source, flags, context }: MountRequest): boolean {
  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  const rootmode = S.IFDIR.toString(8);
  const labels = context === undefined ? '' : `,context="${context}"`;
  const data = `fd=${fd},rootmode=${rootmode},user_id=${uid},group_id=${gid},default_permissions,allow_other${labels}`;
  const refused = unless([E.EPERM], () => {
    mount(shorten(source), mountpoint, FUSE_TYPE, flags, data);
    return false;
  });
  return refused === false;
}

/** The same through fusermount3, which opens the device itself: its descriptor, or why there is none. */
export function attachByHelper(request: MountRequest, allowOther: boolean): number | Refusal {
  return helperMount({ ...request, source: shorten(request.source), subtype: SUBTYPE, allowOther });
}

/** Unmounts; false if the mount is busy. A lazy unmount completes when the last process stops using it. Throws `Errno`. */
export function detach(mountpoint: string, lazy: boolean): boolean {
  try {
    umount2(mountpoint, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0));
    return true;
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    if (error.code === E.EBUSY) return false;
    if (error.code === E.EINVAL) return true; // gone already
    if (error.code === E.EPERM) return detachByHelper(mountpoint, lazy, error);
    throw error;
  }
}

function detachByHelper(mountpoint: string, lazy: boolean, denied: Errno): boolean {
  const refusal = helperUnmount(mountpoint, lazy);
  if (refusal === undefined) return true;
  if ('missing' in refusal) throw denied;
  if (refusal.said.endsWith('Device or resource busy')) return false;
  if (/not found in|Invalid argument$/.test(refusal.said)) return true; // gone already
  throw new Errno(denied.code, `fusermount3 says "${refusal.said}"`);
}
