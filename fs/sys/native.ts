/**
 * The only door to koffi: libc's functions with their C signatures, nothing else.
 *
 * Rules: no function here checks its result or its arguments; `syscalls.ts` does. `errno()` must be read at once
 * after a failed call, since any other call into Node clobbers it. Buffers are passed as pointers without bounds.
 */
import { fsyncSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import koffi from 'koffi';
import { HERE } from './machine.js';

/** glibc first, then musl (Alpine), by soname. */
const LIBC_NAMES = ['libc.so.6', HERE.musl];

function loadLibc(): ReturnType<typeof koffi.load> {
  for (const name of LIBC_NAMES) {
    try {
      return koffi.load(name);
    } catch {}
  }
  throw new Error(`cannot load the C library: tried ${LIBC_NAMES.map((name) => `"${name}"`).join(', ')}`);
}

const libc = loadLibc();

/** A pointer argument: a buffer, the address of one, or null. An address is passed twice as fast as a buffer. */
export type Pointer = Uint8Array | number | null;
type Int = number;
/** 64-bit results arrive as number, or as bigint beyond 2^53. */
type Int64 = number;

function bind<F>(prototype: string): F {
  return libc.func(prototype) as unknown as F;
}

/** A value that is made when it is first asked for. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

type GetXattr = (path: Pointer, name: Pointer, value: Pointer, size: Int) => Int64;
type SetXattr = (path: Pointer, name: Pointer, value: Pointer, size: Int, flags: Int) => Int;
type ListXattr = (path: Pointer, list: Pointer, size: Int) => Int64;
type RemoveXattr = (path: Pointer, name: Pointer) => Int;

export const native = {
  openat: bind<(dirfd: Int, path: Pointer, flags: Int, mode: Int) => Int>(
    'int openat(int dirfd, void *path, int flags, uint mode)',
  ),
  fcntl: bind<(fd: Int, command: Int, argument: Int) => Int>('int fcntl(int fd, int command, int argument)'),
  dup3: bind<(from: Int, to: Int, flags: Int) => Int>('int dup3(int from, int to, int flags)'),
  close: bind<(fd: Int) => Int>('int close(int fd)'),
  read: bind<(fd: Int, buf: Pointer, count: Int) => Int64>('int64_t read(int fd, void *buf, size_t count)'),
  write: bind<(fd: Int, buf: Pointer, count: Int) => Int64>('int64_t write(int fd, void *buf, size_t count)'),
  pread: bind<(fd: Int, buf: Pointer, count: Int, offset: Int64) => Int64>(
    'int64_t pread(int fd, void *buf, size_t count, int64_t offset)',
  ),
  pwrite: bind<(fd: Int, buf: Pointer, count: Int, offset: Int64) => Int64>(
    'int64_t pwrite(int fd, void *buf, size_t count, int64_t offset)',
  ),
  statx: bind<(dirfd: Int, path: Pointer, flags: Int, mask: Int, buf: Pointer) => Int>(
    'int statx(int dirfd, void *path, int flags, uint mask, void *buf)',
  ),
  getdents64: bind<(fd: Int, buf: Pointer, size: Int) => Int64>(
    'int64_t getdents64(int fd, void *buf, size_t size)',
  ),
  lseek: bind<(fd: Int, offset: Int64, whence: Int) => Int64>(
    'int64_t lseek(int fd, int64_t offset, int whence)',
  ),
  mknodat: bind<(dirfd: Int, path: Pointer, mode: Int, dev: Int64) => Int>(
    'int mknodat(int dirfd, void *path, uint mode, uint64_t dev)',
  ),
  mkdirat: bind<(dirfd: Int, path: Pointer, mode: Int) => Int>(
    'int mkdirat(int dirfd, void *path, uint mode)',
  ),
  symlinkat: bind<(target: Pointer, dirfd: Int, path: Pointer) => Int>(
    'int symlinkat(void *target, int dirfd, void *path)',
  ),
  linkat: bind<(olddirfd: Int, oldpath: Pointer, newdirfd: Int, newpath: Pointer, flags: Int) => Int>(
    'int linkat(int olddirfd, void *oldpath, int newdirfd, void *newpath, int flags)',
  ),
  renameat2: bind<(olddirfd: Int, oldpath: Pointer, newdirfd: Int, newpath: Pointer, flags: Int) => Int>(
    'int renameat2(int olddirfd, void *oldpath, int newdirfd, void *newpath, uint flags)',
  ),
  unlinkat: bind<(dirfd: Int, path: Pointer, flags: Int) => Int>(
    'int unlinkat(int dirfd, void *path, int flags)',
  ),
  readlinkat: bind<(dirfd: Int, path: Pointer, buf: Pointer, size: Int) => Int64>(
    'int64_t readlinkat(int dirfd, void *path, void *buf, size_t size)',
  ),
  fchmodat: bind<(dirfd: Int, path: Pointer, mode: Int, flags: Int) => Int>(
    'int fchmodat(int dirfd, void *path, uint mode, int flags)',
  ),
  fchownat: bind<(dirfd: Int, path: Pointer, uid: Int, gid: Int, flags: Int) => Int>(
    'int fchownat(int dirfd, void *path, uint uid, uint gid, int flags)',
  ),
  utimensat: bind<(dirfd: Int, path: Pointer, times: Pointer, flags: Int) => Int>(
    'int utimensat(int dirfd, void *path, void *times, int flags)',
  ),
  ftruncate: bind<(fd: Int, length: Int64) => Int>('int ftruncate(int fd, int64_t length)'),
  fallocate: bind<(fd: Int, mode: Int, offset: Int64, length: Int64) => Int>(
    'int fallocate(int fd, int mode, int64_t offset, int64_t length)',
  ),
  _exit: bind<(status: Int) => void>('void _exit(int status)'),
  fsync: bind<(fd: Int) => Int>('int fsync(int fd)'),
  fdatasync: bind<(fd: Int) => Int>('int fdatasync(int fd)'),
  syncfs: bind<(fd: Int) => Int>('int syncfs(int fd)'),
  fstatfs: bind<(fd: Int, buf: Pointer) => Int>('int fstatfs(int fd, void *buf)'),
  copy_file_range: bind<
    (fdIn: Int, offIn: Pointer, fdOut: Int, offOut: Pointer, length: Int64, flags: Int) => Int64
  >('int64_t copy_file_range(int fd_in, void *off_in, int fd_out, void *off_out, size_t len, uint flags)'),
  ioctlInt: bind<(fd: Int, request: Int64, argument: Int) => Int>(
    'int ioctl(int fd, unsigned long request, int argument)',
  ),
  ioctlPointer: bind<(fd: Int, request: Int64, argument: Pointer) => Int>(
    'int ioctl(int fd, unsigned long request, void *argument)',
  ),
  getxattr: bind<GetXattr>('int64_t getxattr(void *path, void *name, void *value, size_t size)'),
  setxattr: bind<SetXattr>('int setxattr(void *path, void *name, void *value, size_t size, int flags)'),
  listxattr: bind<ListXattr>('int64_t listxattr(void *path, void *list, size_t size)'),
  removexattr: bind<RemoveXattr>('int removexattr(void *path, void *name)'),
  lgetxattr: bind<GetXattr>('int64_t lgetxattr(void *path, void *name, void *value, size_t size)'),
  lsetxattr: bind<SetXattr>('int lsetxattr(void *path, void *name, void *value, size_t size, int flags)'),
  llistxattr: bind<ListXattr>('int64_t llistxattr(void *path, void *list, size_t size)'),
  lremovexattr: bind<RemoveXattr>('int lremovexattr(void *path, void *name)'),
  fgetxattr: bind<(fd: Int, name: Pointer, value: Pointer, size: Int) => Int64>(
    'int64_t fgetxattr(int fd, void *name, void *value, size_t size)',
  ),
  fsetxattr: bind<(fd: Int, name: Pointer, value: Pointer, size: Int, flags: Int) => Int>(
    'int fsetxattr(int fd, void *name, void *value, size_t size, int flags)',
  ),
  flistxattr: bind<(fd: Int, list: Pointer, size: Int) => Int64>(
    'int64_t flistxattr(int fd, void *list, size_t size)',
  ),
  fremovexattr: bind<(fd: Int, name: Pointer) => Int>('int fremovexattr(int fd, void *name)'),
  futimens: bind<(fd: Int, times: Pointer) => Int>('int futimens(int fd, void *times)'),
  fchmod: bind<(fd: Int, mode: Int) => Int>('int fchmod(int fd, uint mode)'),
  poll: bind<(fds: Pointer, count: Int, timeout: Int) => Int>('int poll(void *fds, ulong nfds, int timeout)'),
  sched_yield: bind<() => Int>('int sched_yield()'),
  flock: bind<(fd: Int, operation: Int) => Int>('int flock(int fd, int operation)'),
  mount: bind<(source: Pointer, target: Pointer, type: Pointer, flags: Int64, data: Pointer) => Int>(
    'int mount(void *source, void *target, void *type, ulong flags, void *data)',
  ),
  umount2: bind<(target: Pointer, flags: Int) => Int>('int umount2(void *target, int flags)'),
  unshare: bind<(flags: Int) => Int>('int unshare(int flags)'),
  chdir: bind<(path: Pointer) => Int>('int chdir(void *path)'),
  chroot: bind<(path: Pointer) => Int>('int chroot(void *path)'),
  getpagesize: bind<() => Int>('int getpagesize()'),
  umask: bind<(mask: Int) => Int>('uint umask(uint mask)'),
  setfsuid: bind<(uid: Int) => Int>('int setfsuid(uint uid)'),
  setfsgid: bind<(gid: Int) => Int>('int setfsgid(uint gid)'),
  prctl: bind<(option: Int, a: Int, b: Int, c: Int, d: Int) => Int>(
    'int prctl(int option, ulong a, ulong b, ulong c, ulong d)',
  ),
  name_to_handle_at: bind<(dirfd: Int, path: Pointer, handle: Pointer, mountId: Pointer, flags: Int) => Int>(
    'int name_to_handle_at(int dirfd, void *path, void *handle, void *mount_id, int flags)',
  ),
  open_by_handle_at: bind<(mountFd: Int, handle: Pointer, flags: Int) => Int>(
    'int open_by_handle_at(int mount_fd, void *handle, int flags)',
  ),
  eventfd: bind<(initial: Int, flags: Int) => Int>('int eventfd(uint initial, int flags)'),
  inotify_init1: bind<(flags: Int) => Int>('int inotify_init1(int flags)'),
  inotify_add_watch: bind<(fd: Int, path: Pointer, mask: Int) => Int>(
    'int inotify_add_watch(int fd, void *path, uint mask)',
  ),
  inotify_rm_watch: bind<(fd: Int, wd: Int) => Int>('int inotify_rm_watch(int fd, int wd)'),
  /** syscall(2) with an int, a pointer and three more arguments: open_tree, mount_setattr. */
  syscallPath: bind<
    (number: Int64, fd: Int, path: Pointer, flags: Int64, data: Pointer, size: Int64) => Int64
  >('int64_t syscall(long number, long fd, void *path, ulong flags, void *data, ulong size)'),
} as const;

/**
 * What only the start of a container or a mount needs: bound at the first call, so that other programs do not pay for it.
 */
export const processNative = once(() => ({
  setns: bind<(fd: Int, type: Int) => Int>('int setns(int fd, int type)'),
  pivot_root: bind<(root: Pointer, old: Pointer) => Int>('int pivot_root(void *new_root, void *put_old)'),
  fchdir: bind<(fd: Int) => Int>('int fchdir(int fd)'),
  getcwd: bind<(buf: Pointer, size: Int) => Int64>('uintptr_t getcwd(void *buf, size_t size)'),
  sethostname: bind<(name: Pointer, length: Int) => Int>('int sethostname(void *name, size_t length)'),
  setdomainname: bind<(name: Pointer, length: Int) => Int>('int setdomainname(void *name, size_t length)'),
  setgroups: bind<(count: Int, groups: Pointer) => Int>('int setgroups(size_t count, void *groups)'),
  setresgid: bind<(real: Int, effective: Int, saved: Int) => Int>('int setresgid(uint r, uint e, uint s)'),
  setresuid: bind<(real: Int, effective: Int, saved: Int) => Int>('int setresuid(uint r, uint e, uint s)'),
  capset: bind<(header: Pointer, data: Pointer) => Int>('int capset(void *header, void *data)'),
  prlimit: bind<(pid: Int, resource: Int, limit: Pointer, old: Pointer) => Int>(
    'int prlimit(int pid, int resource, void *limit, void *old)',
  ),
  signal: bind<(number: Int, handler: Pointer) => Int64>('intptr_t signal(int number, void *handler)'),
  sigprocmask: bind<(how: Int, set: Pointer, old: Pointer) => Int>(
    'int sigprocmask(int how, void *set, void *old)',
  ),
  setsid: bind<() => Int>('int setsid()'),
  socket: bind<(domain: Int, type: Int, protocol: Int) => Int>(
    'int socket(int domain, int type, int protocol)',
  ),
  socketpair: bind<(domain: Int, type: Int, protocol: Int, pair: Pointer) => Int>(
    'int socketpair(int domain, int type, int protocol, void *pair)',
  ),
  recvmsg: bind<(socket: Int, message: Pointer, flags: Int) => Int64>(
    'int64_t recvmsg(int socket, void *message, int flags)',
  ),
  pipe2: bind<(fds: Pointer, flags: Int) => Int>('int pipe2(void *fds, int flags)'),
  memfd_create: bind<(name: Pointer, flags: Int) => Int>('int memfd_create(void *name, uint flags)'),
  execve: bind<(path: Pointer, argv: Pointer, envp: Pointer) => Int>(
    'int execve(void *path, void *argv, void *envp)',
  ),
}));

const LIBSECCOMP = 'libseccomp.so.2';

/** libseccomp's functions, seccomp(3) ...; undefined where the library is not installed. */
export const seccompNative = once(() => {
  let library: ReturnType<typeof koffi.load>;
  try {
    library = koffi.load(LIBSECCOMP);
  } catch {
    return undefined;
  }
  const from = <F>(prototype: string): F => library.func(prototype) as unknown as F;
  return {
    init: from<(action: Int) => Int64>('uintptr_t seccomp_init(uint32_t action)'),
    release: from<(context: Int64) => void>('void seccomp_release(uintptr_t context)'),
    arch_resolve_name: from<(name: Pointer) => Int>('uint32_t seccomp_arch_resolve_name(void *name)'),
    arch_native: from<() => Int>('uint32_t seccomp_arch_native()'),
    arch_exist: from<(context: Int64, arch: Int) => Int>(
      'int seccomp_arch_exist(uintptr_t context, uint32_t arch)',
    ),
    arch_add: from<(context: Int64, arch: Int) => Int>(
      'int seccomp_arch_add(uintptr_t context, uint32_t arch)',
    ),
    syscall_resolve_name_arch: from<(arch: Int, name: Pointer) => Int>(
      'int seccomp_syscall_resolve_name_arch(uint32_t arch, void *name)',
    ),
    rule_add_array: from<(context: Int64, action: Int, call: Int, count: Int, comparisons: Pointer) => Int>(
      'int seccomp_rule_add_array(uintptr_t context, uint32_t action, int call, uint count, void *comparisons)',
    ),
    export_bpf: from<(context: Int64, fd: Int) => Int>('int seccomp_export_bpf(uintptr_t context, int fd)'),
  };
});

/** Loads a library for addons that need it by its soname. Throws if it cannot be loaded. */
export function keepLibrary(path: string): void {
  koffi.load(path);
}

const STDERR = 2;

/** Whether fsync(2) fails on what could be synced. */
function cannotBeSynced(fd: number): boolean {
  try {
    fsyncSync(fd);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'EINVAL'; // a terminal, a pipe, /dev/null
  }
}

/**
 * koffi's exit handler calls fsync(2) on standard error. If that fails, it reports the failure on standard error while it
 * holds the lock of it, and waits for itself (FlushStd and StreamWriter::Flush in its base.cc): the process never ends, and
 * a mount that it served never answers. Such a process ends without exit handlers.
 */
function endWithoutHandlers(status: number): void {
  if (cannotBeSynced(STDERR)) native._exit(status);
}

if (isMainThread) process.on('exit', endWithoutHandlers);

/** errno of the last failed call on this thread. */
export const errno: () => number = koffi.errno;

/** Memory outside the JS heap that stays where it is, as bytes and as a pointer argument. */
export interface Memory {
  readonly bytes: Buffer;
  readonly address: number;
}

/** Allocates memory that lives as long as its `bytes` are referenced. */
export function allocate(size: number): Memory {
  const bytes = Buffer.from(new ArrayBuffer(size));
  return { bytes, address: Number(koffi.address(bytes)) };
}
