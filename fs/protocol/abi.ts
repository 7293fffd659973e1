/**
 * The FUSE kernel ABI with the kernel's own names (include/uapi/linux/fuse.h).
 *
 * Rule: numbers and struct sizes only, no behaviour. A struct's layout is written where it is decoded or encoded.
 */

export const FUSE_KERNEL_VERSION = 7;
/** The newest minor version whose messages are understood: Linux 6.16 to 6.18. */
export const FUSE_KERNEL_MINOR_VERSION = 45;
/** The oldest supported kernel: Linux 5.4, the first with zero-message opendir and explicit data invalidation. */
export const FUSE_OLDEST_MINOR_VERSION = 31;

export const FUSE_ROOT_ID = 1;

/** enum fuse_opcode. */
export const Opcode = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  GETLK: 31,
  SETLK: 32,
  SETLKW: 33,
  ACCESS: 34,
  CREATE: 35,
  INTERRUPT: 36,
  BMAP: 37,
  DESTROY: 38,
  IOCTL: 39,
  POLL: 40,
  NOTIFY_REPLY: 41,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  SETUPMAPPING: 48,
  REMOVEMAPPING: 49,
  SYNCFS: 50,
  TMPFILE: 51,
  STATX: 52,
  COPY_FILE_RANGE_64: 53,
} as const;

export type Opcode = (typeof Opcode)[keyof typeof Opcode];

/** enum fuse_notify_code, as far as it is sent. */
export const NotifyCode = { INVAL_INODE: 2, INVAL_ENTRY: 3, PRUNE: 9 } as const;
/** The first minor version in which the kernel can be asked to forget nodes. */
export const FUSE_PRUNE_MINOR_VERSION = 45;
/** fuse_notify_inval_entry_out.flags: let the entry time out instead of dropping it with what is mounted below. */
export const FUSE_EXPIRE_ONLY = 1;

/** Bits of fuse_init_in.flags, and from 32 on of .flags2. */
export const InitFlag = {
  ASYNC_READ: 0,
  POSIX_LOCKS: 1,
  ATOMIC_O_TRUNC: 3,
  EXPORT_SUPPORT: 4,
  BIG_WRITES: 5,
  DONT_MASK: 6,
  FLOCK_LOCKS: 10,
  AUTO_INVAL_DATA: 12,
  DO_READDIRPLUS: 13,
  READDIRPLUS_AUTO: 14,
  ASYNC_DIO: 15,
  WRITEBACK_CACHE: 16,
  NO_OPEN_SUPPORT: 17,
  PARALLEL_DIROPS: 18,
  HANDLE_KILLPRIV: 19,
  POSIX_ACL: 20,
  ABORT_ERROR: 21,
  MAX_PAGES: 22,
  CACHE_SYMLINKS: 23,
  NO_OPENDIR_SUPPORT: 24,
  EXPLICIT_INVAL_DATA: 25,
  HANDLE_KILLPRIV_V2: 28,
  SETXATTR_EXT: 29,
  INIT_EXT: 30,
  CREATE_SUPP_GROUP: 34,
  HAS_EXPIRE_ONLY: 35,
  PASSTHROUGH: 37,
  NO_EXPORT_SUPPORT: 38,
  HAS_RESEND: 39,
} as const;

export type InitFlagName = keyof typeof InitFlag;

/** fuse_setattr_in.valid. */
export const FATTR = {
  MODE: 1 << 0,
  UID: 1 << 1,
  GID: 1 << 2,
  SIZE: 1 << 3,
  ATIME: 1 << 4,
  MTIME: 1 << 5,
  ATIME_NOW: 1 << 7,
  MTIME_NOW: 1 << 8,
  CTIME: 1 << 10,
  KILL_SUIDGID: 1 << 11,
} as const;

/** fuse_write_in.write_flags: the writer lacks CAP_FSETID, so set-id bits go. */
export const FUSE_WRITE_KILL_SUIDGID = 1 << 2;
/** fuse_setxattr_in.setxattr_flags: the ACL change clears the set-group-id bit. */
export const FUSE_SETXATTR_ACL_KILL_SGID = 1 << 0;
/** fuse_fsync_in.fsync_flags: data only, as fdatasync(2). */
export const FUSE_FSYNC_FDATASYNC = 1 << 0;

/** sizeof of the structs that frame messages. */
export const SIZEOF = {
  fuse_in_header: 40,
  fuse_out_header: 16,
  fuse_entry_out: 128,
  fuse_attr: 88,
  fuse_dirent: 24,
  fuse_init_out: 64,
  fuse_setattr_in: 88,
} as const;

/** Space a READ or WRITE message needs beside its data. */
export const MESSAGE_OVERHEAD = 4096;
