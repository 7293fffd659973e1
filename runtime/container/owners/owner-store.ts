/**
 * Stores virtual owners: in the union that serves the root, or in xattrs of a plain copy.
 *
 * Rules: descriptors are O_PATH. Owners of files on other filesystems than the root are not stored.
 */

import type { VirtualOwners } from '../../../fs/index.js';
import {
  COPY_OVERRIDE,
  type Device,
  deviceName,
  InodeSet,
  modeAfterChown,
  type Owner,
  ownerValue,
  parseOwnerValue,
  recorded,
  recordInCopy,
} from '../../../fs/layers.js';
import { AT, O } from '../../../fs/sys/constants.js';
import { E, Errno, unless } from '../../../fs/sys/errno.js';
import { cachedIdentity } from '../../../fs/sys/raw-stat.js';
import { close, fchmodat, fstat, getxattrat, linkat, openat, setxattrat } from '../../../fs/sys/syscalls.js';
import { KEEP } from './filter.js';

export interface OwnerStore {
  /** Records an owner; KEEP leaves an id unchanged. */
  give(fd: number, uid: number, gid: number): void;
  /** The recorded owner; undefined if the kernel's is correct. */
  ownerOf(fd: number): Owner | undefined;
  /** Creates a virtual device. Throws Errno EPERM if it cannot be recorded. */
  makeDevice(directory: number, name: string, device: Device): void;
}

/** Owners in the union, through its mount (`fs/union/operations/owner-channel.ts`). */
export class UnionOwners implements OwnerStore {
  readonly #secret: string;
  /** Inodes that may have a recorded owner. */
  readonly #given: InodeSet;

  constructor({ secret, inodes }: VirtualOwners) {
    this.#secret = secret;
    this.#given = new InodeSet(inodes);
  }

  give(fd: number, uid: number, gid: number): void {
    unless([E.EOPNOTSUPP], () => setxattrat(fd, '', this.#secret, ownerValue(uid, gid)));
  }

  ownerOf(fd: number): Owner | undefined {
    if (!this.#given.has(cachedIdentity(fd).ino)) return undefined;
    const value = getxattrat(fd, '', this.#secret);
    const { uid, gid } = (value && parseOwnerValue(value)) ?? {};
    return uid === undefined || gid === undefined ? undefined : { uid, gid };
  }

  /** The union creates the inode; its name is linked here. */
  makeDevice(directory: number, name: string, device: Device): void {
    const inode = this.#unnamed(directory, device);
    try {
      linkat(AT.FDCWD, `/proc/self/fd/${inode}`, directory, name, AT.SYMLINK_FOLLOW);
    } finally {
      close(inode);
    }
  }

  #unnamed(directory: number, device: Device): number {
    try {
      return openat(directory, deviceName(this.#secret, device), O.PATH | O.NOFOLLOW);
    } catch (error) {
      throw error instanceof Errno ? new Errno(E.EPERM) : error; // as on other filesystems
    }
  }
}

/** Owners in xattrs of the files of a plain copy (`COPY_OVERRIDE`). */
export class CopyOwners implements OwnerStore {
  readonly #mount: number;

  /** @param mount the root's (statx(2), stx_mnt_id): a volume may be on the same filesystem */
  constructor(mount: number) {
    this.#mount = mount;
  }

  give(fd: number, uid: number, gid: number): void {
    if (cachedIdentity(fd).mount !== this.#mount) return;
    const inode = fstat(fd);
    const now = recorded(COPY_OVERRIDE, { dirfd: fd, name: '' }, inode);
    const owner = { uid: uid === KEEP ? now.uid : uid, gid: gid === KEEP ? now.gid : gid };
    recordInCopy({ dirfd: fd, name: '' }, { ...now, ...owner });
    const mode = modeAfterChown(inode.mode);
    if (mode !== inode.mode) fchmodat(fd, '', mode & MODE);
  }

  ownerOf(fd: number): Owner | undefined {
    const inode = fstat(fd);
    const now = recorded(COPY_OVERRIDE, { dirfd: fd, name: '' }, inode);
    return now === inode ? undefined : now;
  }

  makeDevice(): void {
    throw new Errno(E.EPERM);
  }
}

const MODE = 0o7777;
