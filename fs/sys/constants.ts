/**
 * Numbers of the Linux ABI. Those written out here are equal on x86-64 and arm64; the others are in `architecture.ts`.
 */
import { constants } from 'node:fs';
import { HERE } from './machine.js';

export const O = {
  RDONLY: constants.O_RDONLY,
  WRONLY: constants.O_WRONLY,
  RDWR: constants.O_RDWR,
  CREAT: constants.O_CREAT,
  EXCL: constants.O_EXCL,
  APPEND: constants.O_APPEND,
  NONBLOCK: constants.O_NONBLOCK,
  DIRECTORY: HERE.O.DIRECTORY,
  NOFOLLOW: HERE.O.NOFOLLOW,
  NOATIME: 0o1000000,
  CLOEXEC: 0o2000000,
  PATH: 0o10000000,
  TMPFILE: 0o20000000 | HERE.O.DIRECTORY,
} as const;

/** File type bits of st_mode (inode(7)). */
export const S = {
  IFMT: 0o170000,
  IFSOCK: 0o140000,
  IFLNK: 0o120000,
  IFREG: 0o100000,
  IFBLK: 0o060000,
  IFDIR: 0o040000,
  IFCHR: 0o020000,
  IFIFO: 0o010000,
  ISUID: 0o4000,
  ISGID: 0o2000,
  ISVTX: 0o1000,
  IXGRP: 0o010,
} as const;

export const AT = {
  FDCWD: -100,
  SYMLINK_NOFOLLOW: 0x100,
  REMOVEDIR: 0x200,
  SYMLINK_FOLLOW: 0x400,
  EMPTY_PATH: 0x1000,
  RECURSIVE: 0x8000,
} as const;

export const RENAME = { NOREPLACE: 1, EXCHANGE: 2, WHITEOUT: 4 } as const;
export const SEEK = { SET: 0, CUR: 1, END: 2, DATA: 3, HOLE: 4 } as const;
export const POLLIN = 1;
export const POLLHUP = 0x10;

/** mount(2) and umount2(2). */
export const MS = {
  RDONLY: 1,
  NOSUID: 2,
  NODEV: 4,
  NOEXEC: 8,
  SYNCHRONOUS: 16,
  REMOUNT: 32,
  DIRSYNC: 128,
  NOATIME: 1024,
  NODIRATIME: 2048,
  BIND: 4096,
  MOVE: 8192,
  REC: 16384,
  UNBINDABLE: 1 << 17,
  PRIVATE: 1 << 18,
  SLAVE: 1 << 19,
  SHARED: 1 << 20,
  RELATIME: 1 << 21,
} as const;
export const MNT_DETACH = 2;
export const UMOUNT_NOFOLLOW = 8;

/** open_tree(2), mount_setattr(2). */
export const OPEN_TREE_CLONE = 1;
export const MOUNT_ATTR = {
  RDONLY: 0x1,
  NOSUID: 0x2,
  NODEV: 0x4,
  NOEXEC: 0x8,
  ATIME: 0x70,
  NOATIME: 0x10,
  STRICTATIME: 0x20,
  NODIRATIME: 0x80,
  NOSYMFOLLOW: 0x200000,
} as const;

/** openat2(2). */
export const RESOLVE = { NO_XDEV: 0x01, NO_MAGICLINKS: 0x02, NO_SYMLINKS: 0x04, IN_ROOT: 0x10 } as const;

export const CLONE = {
  FS: 0x200,
  NEWNS: 0x20000,
  NEWCGROUP: 0x2000000,
  NEWUTS: 0x4000000,
  NEWIPC: 0x8000000,
  NEWPID: 0x20000000,
  NEWNET: 0x40000000,
} as const;
export const LOCK = { SH: 1, EX: 2, NB: 4, UN: 8 } as const;

/** inotify(7) event and watch bits. */
export const IN = {
  MODIFY: 0x2,
  ATTRIB: 0x4,
  MOVED_FROM: 0x40,
  MOVED_TO: 0x80,
  CREATE: 0x100,
  DELETE: 0x200,
  DELETE_SELF: 0x400,
  MOVE_SELF: 0x800,
  Q_OVERFLOW: 0x4000,
  IGNORED: 0x8000,
  ONLYDIR: 0x1000000,
  DONT_FOLLOW: 0x2000000,
  EXCL_UNLINK: 0x4000000,
} as const;

/** prctl(2) operations. */
export const PR = {
  SET_PDEATHSIG: 1,
  SET_KEEPCAPS: 8,
  CAPBSET_DROP: 24,
  SET_SECUREBITS: 28,
  SET_CHILD_SUBREAPER: 36,
  SET_NO_NEW_PRIVS: 38,
  CAP_AMBIENT: 47,
  SET_IO_FLUSHER: 57,
} as const;
export const PR_CAP_AMBIENT = { RAISE: 2, CLEAR_ALL: 4 } as const;
/** capabilities(7): changing the filesystem uid does not touch the capability sets. */
export const SECBIT_NO_SETUID_FIXUP = 1 << 2;

/** Longest path a syscall takes, with its NUL (limits.h PATH_MAX), and longest name (NAME_MAX). */
export const PATH_MAX = 4096;
export const NAME_MAX = 255;
/** Largest xattr value and largest xattr name list the VFS hands out (limits.h). */
export const XATTR_SIZE_MAX = 65536;
/** f_type of a FUSE filesystem (statfs(2)). */
export const FUSE_SUPER_MAGIC = 0x65735546;

/** Extended attributes that hold POSIX ACLs, acl(5). */
export const ACL = { ACCESS: 'system.posix_acl_access', DEFAULT: 'system.posix_acl_default' } as const;
export const isAcl = (attribute: string): boolean => attribute === ACL.ACCESS || attribute === ACL.DEFAULT;
