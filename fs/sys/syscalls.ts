/**
 * The syscalls the project uses, under their man-2 names.
 *
 * Rules: paths and names are latin1 strings, one character per byte, never UTF-8. A failure throws `Errno`; a miss
 * that callers expect (no such entry, no such xattr) is undefined. Everything is synchronous and never touches the
 * event loop, so the serving thread may call it. Scratch buffers are per thread and reused: nothing returned
 * aliases them unless the comment says so.
 */
import { AT, O, PATH_MAX, POLLHUP, POLLIN, S, SEEK, XATTR_SIZE_MAX } from './constants.js';
import { E, Errno } from './errno.js';
import { allocate, errno, type Memory, native } from './native.js';
import {
  decodeStatx,
  mountIdIn,
  STATX_MNT_ID,
  STATX_SIZE,
  type Stat,
  type Time,
  type U64,
  u64,
} from './stat.js';

export { allocate, type Memory } from './native.js';

type Call = keyof typeof native;

const pathA = allocate(PATH_MAX + 1);
const pathB = allocate(PATH_MAX + 1);
const attributeName = allocate(PATH_MAX + 1);

/** Writes `text` as a C string into `memory`. A longer one than the kernel takes is refused as it would. */
function cString({ bytes, address }: Memory, text: string): number {
  if (text.length >= PATH_MAX) throw new Errno(E.ENAMETOOLONG);
  bytes[bytes.write(text, 0, 'latin1')] = 0;
  return address;
}

function check(call: Call, result: number): number {
  if (result < 0) throw new Errno(errno(), call);
  return result;
}

// --- files and directories -------------------------------------------------------------------------------------

/** openat(2); O_CLOEXEC is always set. */
export function openat(dirfd: number, name: string, flags: number, mode = 0): number {
  return check('openat', native.openat(dirfd, cString(pathA, name), flags | O.CLOEXEC, mode));
}

/** openat(2) that gives the negated errno instead of throwing, for callers that branch on it. */
export function tryOpenat(dirfd: number, name: string, flags: number): number {
  const fd = native.openat(dirfd, cString(pathA, name), flags | O.CLOEXEC, 0);
  return fd < 0 ? -errno() : fd;
}

/** close(2). Errors are ignored: the descriptor is gone in every case. */
export function close(fd: number): void {
  native.close(fd);
}

const F_DUPFD_CLOEXEC = 1030;

/** fcntl(2): another descriptor of the same open file, which child processes do not inherit. */
export function duplicate(fd: number): number {
  return check('fcntl', native.fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

/** dup2(2): makes `to` another name of `from`, inherited by child processes. */
export function dup2(from: number, to: number): void {
  check('dup3', native.dup3(from, to, 0));
}

const statMemory = allocate(STATX_SIZE);
const statWords = new Uint32Array(statMemory.bytes.buffer);
const STATX_BASIC_STATS = 0x7ff;
const AT_NO_AUTOMOUNT = 0x800;

/** statx(2) of `name` in `dirfd`, symlinks not followed; undefined if there is no such name. */
export function statat(dirfd: number, name: string): Stat | undefined {
  const flags = AT.SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
  if (native.statx(dirfd, cString(pathA, name), flags, STATX_BASIC_STATS, statMemory.address) < 0) {
    const code = errno();
    if (code === E.ENOENT) return undefined;
    throw new Errno(code, 'statx');
  }
  return decodeStatx(statWords);
}

const emptyPath = allocate(1);

/** statx(2) of an open descriptor. */
export function fstat(fd: number): Stat {
  check('statx', native.statx(fd, emptyPath.address, AT.EMPTY_PATH, STATX_BASIC_STATS, statMemory.address));
  return decodeStatx(statWords);
}

const F_SETFD = 2;
const FD_CLOEXEC = 1;

/** fcntl(2): child processes do not inherit the descriptor. One that is gone already is no error. */
export function closeOnExec(fd: number): void {
  native.fcntl(fd, F_SETFD, FD_CLOEXEC);
}

const F_GETFL = 3;
const O_ACCMODE = 3;

/** fcntl(2): whether a descriptor was opened for reading and writing. */
export function isWritable(fd: number): boolean {
  return (check('fcntl', native.fcntl(fd, F_GETFL, 0)) & O_ACCMODE) === O.RDWR;
}

const F_SETFL = 4;

function addFlag(fd: number, flag: number): void {
  const flags = check('fcntl', native.fcntl(fd, F_GETFL, 0));
  check('fcntl', native.fcntl(fd, F_SETFL, flags | flag));
}

/** fcntl(2): reads of the open file do not wait, for all who share it. */
export const setNonBlocking = (fd: number): void => addFlag(fd, O.NONBLOCK);

/** fcntl(2): reads through the descriptor leave the access time alone; EPERM for who neither owns the file nor may act for its owner. */
export const keepAccessTime = (fd: number): void => addFlag(fd, O.NOATIME);

/** A number that tells the mounts of a machine apart, and with it their filesystems (statx(2), Linux 5.8). */
export function mountOf(path: string): string {
  check(
    'statx',
    native.statx(AT.FDCWD, cString(pathA, path), 0, STATX_BASIC_STATS | STATX_MNT_ID, statMemory.address),
  );
  return `${decodeStatx(statWords).dev}:${mountIdIn(statWords)}`;
}

/** One entry of a directory as getdents64(2) tells it. */
export interface DirectoryEntry {
  readonly name: string;
  readonly ino: U64;
  /** st_mode's file type bits, 0 when the filesystem does not say. */
  readonly type: number;
}

const dirents = allocate(256 * 1024);
const direntWords = new DataView(dirents.bytes.buffer);
const DIRENT_NAME = 19;
/** DT_* times 4096 is S_IF* (readdir(3), "d_type"). */
const DT_SHIFT = 12;

/** Every entry of the directory open at `fd`, "." and ".." left out, in the filesystem's order. */
export function readDirectory(fd: number): DirectoryEntry[] {
  const entries: DirectoryEntry[] = [];
  seekDirectory(fd, 0);
  while (readEntries(fd, entries));
  return entries;
}

/** Adds the next entries of a directory, as many as the kernel gives at once; false at its end. */
export function readEntries(fd: number, entries: DirectoryEntry[]): boolean {
  const end = check('getdents64', native.getdents64(fd, dirents.address, dirents.bytes.length));
  for (let at = 0; at < end; ) {
    const length = direntWords.getUint16(at + 16, true);
    const nul = dirents.bytes.indexOf(0, at + DIRENT_NAME);
    const name = dirents.bytes.toString('latin1', at + DIRENT_NAME, nul);
    if (name !== '.' && name !== '..') {
      const ino = u64(direntWords.getUint32(at, true), direntWords.getUint32(at + 4, true));
      entries.push({ name, ino, type: direntWords.getUint8(at + 18) << DT_SHIFT });
    }
    at += length;
  }
  return end > 0;
}

/** Where the next entries of a directory come from: what `seekDirectory` takes, also through another descriptor. */
export function tellDirectory(fd: number): U64 {
  return check('lseek', native.lseek(fd, 0, SEEK.CUR));
}

export function seekDirectory(fd: number, position: U64): void {
  check('lseek', native.lseek(fd, position as number, SEEK.SET)); // koffi takes a bigint as well
}

/** makedev(3). */
function makedev(major: number, minor: number): number {
  return (minor & 0xff) + (major & 0xfff) * 0x100 + (minor >>> 8) * 0x100000;
}

export function mknodat(dirfd: number, name: string, mode: number, major = 0, minor = 0): void {
  check('mknodat', native.mknodat(dirfd, cString(pathA, name), mode, makedev(major, minor)));
}

export function mkdirat(dirfd: number, name: string, mode: number): void {
  check('mkdirat', native.mkdirat(dirfd, cString(pathA, name), mode));
}

export function symlinkat(target: string, dirfd: number, name: string): void {
  check('symlinkat', native.symlinkat(cString(pathB, target), dirfd, cString(pathA, name)));
}

export function linkat(fromDirfd: number, from: string, toDirfd: number, to: string, flags = 0): void {
  check('linkat', native.linkat(fromDirfd, cString(pathA, from), toDirfd, cString(pathB, to), flags));
}

export function renameat2(fromDirfd: number, from: string, toDirfd: number, to: string, flags = 0): void {
  check('renameat2', native.renameat2(fromDirfd, cString(pathA, from), toDirfd, cString(pathB, to), flags));
}

export function unlinkat(dirfd: number, name: string, flags = 0): void {
  check('unlinkat', native.unlinkat(dirfd, cString(pathA, name), flags));
}

const linkBuffer = Buffer.alloc(PATH_MAX);

/** The target of the symlink `name`; with an empty name, of the O_PATH descriptor `dirfd`. */
export function readlinkat(dirfd: number, name: string): string {
  const length = native.readlinkat(dirfd, cString(pathA, name), linkBuffer, linkBuffer.length);
  return linkBuffer.toString('latin1', 0, check('readlinkat', length));
}

/**
 * Calls on a descriptor fail with EBADF if it was opened with O_PATH; its magic link in /proc leads to the same inode.
 */
function viaDescriptor(onDescriptor: () => number, onPath: () => number): number {
  const result = onDescriptor();
  return result < 0 && errno() === E.EBADF ? onPath() : result;
}

const SYS_FCHMODAT2 = 452; // on every architecture (asm-generic/unistd.h)
let hasFchmodat2 = true;

/** fchmodat2(2), Linux 6.6, symlinks not followed: -1 with errno ENOSYS or EPERM where it is missing. */
function fchmodat2(dirfd: number, name: string, mode: number): number {
  const result = native.syscallPath(SYS_FCHMODAT2, dirfd, cString(pathA, name), mode, AT.SYMLINK_NOFOLLOW, 0);
  if (result < 0 && errno() === E.ENOSYS) hasFchmodat2 = false;
  return result;
}

/** The same on older kernels, and in sandboxes that refuse calls which they do not know. */
export function chmodInSteps(dirfd: number, name: string, mode: number): void {
  const fd = openat(dirfd, name, O.PATH | O.NOFOLLOW);
  try {
    if ((fstat(fd).mode & S.IFMT) === S.IFLNK) throw new Errno(E.EOPNOTSUPP, 'fchmodat');
    check('fchmodat', native.fchmodat(AT.FDCWD, procPath(fd, ''), mode, 0));
  } finally {
    close(fd);
  }
}

/** fchmodat(2), symlinks not followed; an empty name means `dirfd` itself. */
export function fchmodat(dirfd: number, name: string, mode: number): void {
  if (name === '') {
    const result = viaDescriptor(
      () => native.fchmod(dirfd, mode),
      () => native.fchmodat(AT.FDCWD, procPath(dirfd, name), mode, 0),
    );
    check('fchmodat', result);
    return;
  }
  if (hasFchmodat2) {
    if (fchmodat2(dirfd, name, mode) >= 0) return;
    const code = errno();
    if (code !== E.ENOSYS && code !== E.EPERM) throw new Errno(code, 'fchmodat2');
  }
  chmodInSteps(dirfd, name, mode);
}

/** fchownat(2), symlinks not followed; -1 keeps an id; an empty name means `dirfd` itself. */
export function fchownat(dirfd: number, name: string, uid: number, gid: number): void {
  const flags = AT.SYMLINK_NOFOLLOW | (name === '' ? AT.EMPTY_PATH : 0);
  check('fchownat', native.fchownat(dirfd, cString(pathA, name), uid >>> 0, gid >>> 0, flags));
}

/** A timestamp to set, or one of the two special requests of utimensat(2). */
export type TimeChange = Time | 'now' | 'keep';

const times = allocate(32);
const TIMESPEC_SIZE = 16;
const UTIME_NOW = 0x3fffffff;
const UTIME_OMIT = 0x3ffffffe;

const timesView = new DataView(times.bytes.buffer);
const TWO_32 = 2 ** 32;

function encodeTimes(atime: TimeChange, mtime: TimeChange): number {
  encodeTime(0, atime);
  encodeTime(TIMESPEC_SIZE, mtime);
  return times.address;
}

/** struct timespec. */
function encodeTime(at: number, time: TimeChange): void {
  const seconds = typeof time === 'string' ? 0 : time.seconds;
  timesView.setUint32(at, seconds % TWO_32, true);
  timesView.setInt32(at + 4, Math.floor(seconds / TWO_32), true);
  const special = time === 'now' ? UTIME_NOW : UTIME_OMIT;
  timesView.setUint32(at + 8, typeof time === 'string' ? special : time.nanoseconds, true);
  timesView.setUint32(at + 12, 0, true);
}

/** utimensat(2), symlinks not followed. An empty name means `dirfd` itself. */
export function utimensat(dirfd: number, name: string, atime: TimeChange, mtime: TimeChange): void {
  const pair = encodeTimes(atime, mtime);
  const result =
    name === ''
      ? viaDescriptor(
          () => native.futimens(dirfd, pair),
          () => native.utimensat(AT.FDCWD, procPath(dirfd, name), pair, 0),
        )
      : native.utimensat(dirfd, cString(pathA, name), pair, AT.SYMLINK_NOFOLLOW);
  check('utimensat', result);
}

// --- data ------------------------------------------------------------------------------------------------------

/** pread(2) of up to `length` bytes into the start of `into`; the count is short only at the end of the file. */
export function pread(fd: number, into: Uint8Array, length: number, offset: number): number {
  return check('pread', native.pread(fd, into, length, offset));
}

/** pwrite(2); the count may be short. */
export function pwrite(fd: number, from: Uint8Array, length: number, offset: number): number {
  return check('pwrite', native.pwrite(fd, from, length, offset));
}

export function lseek(fd: number, offset: number, whence: number): number {
  return check('lseek', native.lseek(fd, offset, whence));
}

export function ftruncate(fd: number, length: number): void {
  check('ftruncate', native.ftruncate(fd, length));
}

export function fallocate(fd: number, mode: number, offset: number, length: number): void {
  check('fallocate', native.fallocate(fd, mode, offset, length));
}

export function fsync(fd: number): void {
  check('fsync', native.fsync(fd));
}

/** fsync(2), or fdatasync(2) where the data is all that counts. */
export function flush(fd: number, dataOnly: boolean): void {
  if (dataOnly) check('fdatasync', native.fdatasync(fd));
  else fsync(fd);
}

export function syncfs(fd: number): void {
  check('syncfs', native.syncfs(fd));
}

/** ioctl_ficlone(2): makes `toFd` share all data of `fromFd`; false where the filesystem cannot. */
export function ficlone(toFd: number, fromFd: number): boolean {
  const FICLONE = 0x40049409;
  return native.ioctlInt(toFd, FICLONE, fromFd) === 0;
}

const offsetsBuffer = Buffer.alloc(16);
const offsetIn = offsetsBuffer.subarray(0, 8);
const offsetOut = offsetsBuffer.subarray(8);

/** ioctl(2) on what `argument` holds. */
export function ioctl(fd: number, command: number, argument: Buffer): void {
  check('ioctlPointer', native.ioctlPointer(fd, command, argument));
}

/** copy_file_range(2) between explicit offsets; the count may be short, 0 at the end of the source. */
export function copyFileRange(
  fromFd: number,
  fromOffset: number,
  toFd: number,
  toOffset: number,
  length: number,
): number {
  offsetIn.writeBigInt64LE(BigInt(fromOffset), 0);
  offsetOut.writeBigInt64LE(BigInt(toOffset), 0);
  return check('copy_file_range', native.copy_file_range(fromFd, offsetIn, toFd, offsetOut, length, 0));
}

/** What fstatfs(2) tells, in the units of struct fuse_kstatfs. */
export interface FilesystemStat {
  readonly type: number;
  readonly bsize: number;
  readonly blocks: number;
  readonly bfree: number;
  readonly bavail: number;
  readonly files: number;
  readonly ffree: number;
  readonly namelen: number;
  readonly frsize: number;
}

const statfsBuffer = Buffer.alloc(120);

export function fstatfs(fd: number): FilesystemStat {
  check('fstatfs', native.fstatfs(fd, statfsBuffer));
  const wide = (index: number): number => Number(statfsBuffer.readBigUInt64LE(index * 8));
  return {
    type: wide(0),
    bsize: wide(1),
    blocks: wide(2),
    bfree: wide(3),
    bavail: wide(4),
    files: wide(5),
    ffree: wide(6),
    namelen: wide(8),
    frsize: wide(9),
  };
}

const FLAGS_WORD = 10;
const ST_NOEXEC = 8n;

/** fstatfs(2): whether what lies on the mount of `fd` may not be executed. */
export function isNoexec(fd: number): boolean {
  check('fstatfs', native.fstatfs(fd, statfsBuffer));
  return (statfsBuffer.readBigUInt64LE(FLAGS_WORD * 8) & ST_NOEXEC) !== 0n;
}

// --- extended attributes ---------------------------------------------------------------------------------------

/**
 * The path of `name` below `dirfd` for calls without an *at form: the l*xattr calls do not follow its last component.
 * An empty name means the descriptor itself, whatever it is open on; those calls must follow the magic link.
 */
function procPath(dirfd: number, name: string): number {
  return cString(pathA, name === '' ? `/proc/self/fd/${dirfd}` : `/proc/self/fd/${dirfd}/${name}`);
}

const xattrValue = allocate(XATTR_SIZE_MAX);

function xattrResult(call: Call, length: number): Buffer | undefined {
  if (length >= 0) return xattrValue.bytes.subarray(0, length);
  const code = errno();
  if (code === E.ENODATA || code === E.EOPNOTSUPP) return undefined;
  throw new Errno(code, call);
}

/** getxattr(2); undefined when absent or unsupported. The result aliases a scratch buffer until the next call. */
export function getxattrat(dirfd: number, name: string, attribute: string): Buffer | undefined {
  const key = cString(attributeName, attribute);
  const value = xattrValue.address;
  const size = XATTR_SIZE_MAX;
  const length =
    name === ''
      ? viaDescriptor(
          () => native.fgetxattr(dirfd, key, value, size),
          () => native.getxattr(procPath(dirfd, name), key, value, size),
        )
      : native.lgetxattr(procPath(dirfd, name), key, value, size);
  return xattrResult('getxattr', length);
}

export function setxattrat(
  dirfd: number,
  name: string,
  attribute: string,
  value: Uint8Array,
  flags = 0,
): void {
  const key = cString(attributeName, attribute);
  const size = value.length;
  const result =
    name === ''
      ? viaDescriptor(
          () => native.fsetxattr(dirfd, key, value, size, flags),
          () => native.setxattr(procPath(dirfd, name), key, value, size, flags),
        )
      : native.lsetxattr(procPath(dirfd, name), key, value, size, flags);
  check('setxattr', result);
}

export function removexattrat(dirfd: number, name: string, attribute: string): void {
  const key = cString(attributeName, attribute);
  const result =
    name === ''
      ? viaDescriptor(
          () => native.fremovexattr(dirfd, key),
          () => native.removexattr(procPath(dirfd, name), key),
        )
      : native.lremovexattr(procPath(dirfd, name), key);
  check('removexattr', result);
}

/** listxattr(2): the attribute names; empty where the filesystem has none. */
export function listxattrat(dirfd: number, name: string): string[] {
  const into = xattrValue.address;
  const size = XATTR_SIZE_MAX;
  const length =
    name === ''
      ? viaDescriptor(
          () => native.flistxattr(dirfd, into, size),
          () => native.listxattr(procPath(dirfd, name), into, size),
        )
      : native.llistxattr(procPath(dirfd, name), into, size);
  const list = xattrResult('listxattr', length);
  return list === undefined || list.length === 0
    ? []
    : list.toString('latin1', 0, list.length - 1).split('\0');
}

// --- file handles ----------------------------------------------------------------------------------------------

/** A kernel file handle: an opaque name of an inode that outlives renames and mounts (open_by_handle_at(2)). */
export interface FileHandle {
  readonly type: number;
  readonly bytes: Buffer;
}

const HANDLE_HEADER = 8;
const MAX_HANDLE_SZ = 128;
const handleBuffer = Buffer.alloc(HANDLE_HEADER + MAX_HANDLE_SZ);
const mountIdBuffer = Buffer.alloc(8);

/** name_to_handle_at(2); undefined where the filesystem has no handles. An empty name means `dirfd` itself. */
export function nameToHandle(dirfd: number, name: string): FileHandle | undefined {
  handleBuffer.writeUInt32LE(MAX_HANDLE_SZ, 0);
  const flags = name === '' ? AT.EMPTY_PATH : 0;
  const path = cString(pathA, name);
  if (native.name_to_handle_at(dirfd, path, handleBuffer, mountIdBuffer, flags) < 0) {
    const code = errno();
    if (code === E.EOPNOTSUPP || code === E.EOVERFLOW || code === E.EPERM) return undefined;
    throw new Errno(code, 'name_to_handle_at');
  }
  const length = handleBuffer.readUInt32LE(0);
  return {
    type: handleBuffer.readInt32LE(4),
    bytes: Buffer.from(handleBuffer.subarray(HANDLE_HEADER, HANDLE_HEADER + length)),
  };
}

/** open_by_handle_at(2) as O_PATH; undefined when the inode is gone or the caller may not. */
export function openByHandle(mountFd: number, handle: FileHandle): number | undefined {
  handleBuffer.writeUInt32LE(handle.bytes.length, 0);
  handleBuffer.writeInt32LE(handle.type, 4);
  handle.bytes.copy(handleBuffer, HANDLE_HEADER);
  const fd = native.open_by_handle_at(mountFd, handleBuffer, O.PATH | O.CLOEXEC);
  return fd < 0 ? undefined : fd;
}

/** ioctl_iflags(2). */
export const FS_IOC_GETFLAGS = 0x80086601;
export const FS_IOC_SETFLAGS = 0x40086602;
const FS_APPEND_FL = 0x20;
/** The kernel reads and writes an int, whatever the command says. */
export const SIZEOF_FLAGS = 8;

/** Makes a file append-only, as chattr(1) +a does; other flags stay (ioctl_iflags(2)). */
export function setAppendOnly(fd: number): void {
  const flags = Buffer.alloc(SIZEOF_FLAGS);
  ioctl(fd, FS_IOC_GETFLAGS, flags);
  flags.writeUInt32LE(flags.readUInt32LE(0) | FS_APPEND_FL, 0);
  ioctl(fd, FS_IOC_SETFLAGS, flags);
}

/** FS_IOC_GETFSUUID (Linux 6.9): struct fsuuid2, a length byte and 16 bytes. */
const FS_IOC_GETFSUUID = 0x80111500;
const uuidBuffer = Buffer.alloc(17);

/** The UUID of the filesystem that an open root lies on, as the kernel keeps it; undefined if it does not tell. */
export function filesystemUuid(rootFd: number): Buffer | undefined {
  const told = native.ioctlPointer(rootFd, FS_IOC_GETFSUUID, uuidBuffer) === 0;
  return told ? Buffer.from(uuidBuffer.subarray(1)) : undefined;
}

// --- mounts and namespaces -------------------------------------------------------------------------------------

export function mount(
  source: string,
  target: string,
  type: string | null,
  flags: number,
  data: string | null,
): void {
  const cStringOf = (text: string): Buffer => Buffer.from(`${text}\0`, 'latin1');
  const typeArgument = type === null ? null : cStringOf(type);
  const dataArgument = data === null ? null : cStringOf(data);
  check('mount', native.mount(cStringOf(source), cStringOf(target), typeArgument, flags, dataArgument));
}

export function umount2(target: string, flags = 0): void {
  check('umount2', native.umount2(cString(pathA, target), flags));
}

export function unshare(flags: number): void {
  check('unshare', native.unshare(flags));
}

/** chdir(2), of the calling thread if it has unshared CLONE_FS. */
export function chdir(path: string): void {
  check('chdir', native.chdir(cString(pathA, path)));
}

export function chroot(path: string): void {
  check('chroot', native.chroot(cString(pathA, path)));
}

/** flock(2); false when another holder has the lock and LOCK.NB is set. */
export function flock(fd: number, operation: number): boolean {
  if (native.flock(fd, operation) === 0) return true;
  const code = errno();
  if (code === E.EWOULDBLOCK) return false;
  throw new Errno(code, 'flock');
}

// --- this thread -----------------------------------------------------------------------------------------------

export const umask = (mask: number): number => native.umask(mask);
/**
 * setfsuid(2) and setfsgid(2) report no errors, only the previous id: a second call tells whether the first one took.
 */
export function setfsuid(uid: number): boolean {
  native.setfsuid(uid);
  return native.setfsuid(uid) >>> 0 === uid >>> 0;
}

export function setfsgid(gid: number): boolean {
  native.setfsgid(gid);
  return native.setfsgid(gid) >>> 0 === gid >>> 0;
}

/** Bytes of a page of memory. */
export const getpagesize = (): number => native.getpagesize();

export const schedYield = (): void => void native.sched_yield();

/** prctl(2); false when the kernel refuses. */
export function prctl(option: number, argument: number): boolean {
  return native.prctl(option, argument, 0, 0, 0) === 0;
}

// --- waiting ---------------------------------------------------------------------------------------------------

const POLLFD_SIZE = 8;
const REVENTS = 6;

/** A set of descriptors to wait for with poll(2) until one is readable. */
export class PollSet {
  readonly #fds: Buffer;
  readonly #count: number;

  constructor(fds: readonly number[]) {
    this.#count = fds.length;
    this.#fds = Buffer.alloc(fds.length * POLLFD_SIZE);
    fds.forEach((fd, index) => {
      this.#fds.writeInt32LE(fd, index * POLLFD_SIZE);
      this.#fds.writeInt16LE(POLLIN, index * POLLFD_SIZE + 4);
    });
  }

  /** Waits at most `timeout` milliseconds, forever if negative. Signals and errors end the wait too. */
  wait(timeout: number): void {
    native.poll(this.#fds, this.#count, timeout);
  }

  /** Waits until something happens. Which descriptors are readable, and which will never be again. */
  events(): { readonly readable: boolean; readonly ended: boolean }[] {
    const at = Array.from({ length: this.#count }, (_, index) => index * POLLFD_SIZE + REVENTS);
    for (const offset of at) this.#fds.writeInt16LE(0, offset);
    this.wait(-1);
    return at.map((offset) => {
      const events = this.#fds.readInt16LE(offset);
      return { readable: (events & POLLIN) !== 0, ended: (events & POLLHUP) !== 0 };
    });
  }
}

/** read(2) on a non-blocking descriptor: the count, or the negated errno. Never throws. */
export function tryRead(fd: number, into: Memory): number {
  const count = native.read(fd, into.address, into.bytes.length);
  return count < 0 ? -errno() : count;
}

/** write(2): the count, or the negated errno. Never throws. */
export function tryWrite(fd: number, from: Memory, length: number): number {
  const count = native.write(fd, from.address, length);
  return count < 0 ? -errno() : count;
}

export function inotifyInit(): number {
  return check('inotify_init1', native.inotify_init1(O.NONBLOCK | O.CLOEXEC));
}

/** inotify_add_watch(2) on the directory open at `dirfd`: the watch descriptor, or the negated errno. */
export function inotifyAddWatch(fd: number, dirfd: number, mask: number): number {
  const watch = native.inotify_add_watch(fd, procPath(dirfd, ''), mask);
  return watch < 0 ? -errno() : watch;
}

export function inotifyRmWatch(fd: number, watch: number): void {
  native.inotify_rm_watch(fd, watch);
}

/** eventfd(2): a descriptor that becomes readable when it is signalled, from whatever thread. */
export function eventfd(): number {
  return check('eventfd', native.eventfd(0, O.NONBLOCK | O.CLOEXEC));
}

const eventCount = Buffer.alloc(8);

export function signalEventfd(fd: number): void {
  eventCount.writeBigUInt64LE(1n);
  check('write', native.write(fd, eventCount, eventCount.length));
}

/** Whether the descriptor was signalled since the last call. */
export function takeEventfd(fd: number): boolean {
  return native.read(fd, eventCount, eventCount.length) > 0;
}
