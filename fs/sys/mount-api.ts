/**
 * Paths that stay inside a root, and mounts as descriptors: openat2(2), fsopen(2), open_tree(2), move_mount(2).
 *
 * Rules: a mount is made detached, gets its attributes, and only then a place, so that it is never seen without them;
 * its place is an open descriptor, so that no symbolic link can lead it elsewhere. Names are latin1 strings as in
 * `syscalls.ts`. The newest of these calls is mount_setattr(2): Linux 5.12.
 */
import { AT, O, OPEN_TREE_CLONE, PATH_MAX } from './constants.js';
import { E, Errno } from './errno.js';
import { allocate, errno, native } from './native.js';

/** These calls have one number on every architecture (asm-generic/unistd.h). */
const SYS = {
  open_tree: 428,
  move_mount: 429,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  openat2: 437,
  mount_setattr: 442,
} as const;

const scratchA = allocate(PATH_MAX);
const scratchB = allocate(PATH_MAX);
const empty = allocate(1);

function cString({ bytes, address }: typeof scratchA, text: string): number {
  if (text.length >= PATH_MAX) throw new Errno(E.ENAMETOOLONG);
  bytes[bytes.write(text, 0, 'latin1')] = 0;
  return address;
}

/** A system call with up to five arguments: numbers and addresses. */
function call(name: keyof typeof SYS, a: number, b = 0, c = 0, d = 0, e = 0): number {
  const result = native.syscallPath(SYS[name], a, b, c, d, e);
  if (result < 0) throw new Errno(errno(), name);
  return result;
}

const openHow = allocate(24);

/** How often a way with ".." is tried while others, anywhere, mount or rename directories (openat2(2), EAGAIN). */
const WAY_ATTEMPTS = 1000;

/** openat2(2) with O_CLOEXEC: the whole way to `path` obeys `resolve` (RESOLVE). */
export function openat2(dirfd: number, path: string, flags: number, resolve: number): number {
  for (let attempt = 1; ; attempt++) {
    try {
      return openat2Once(dirfd, path, flags, resolve);
    } catch (error) {
      const isRace = error instanceof Errno && error.code === E.EAGAIN;
      if (!isRace || attempt === WAY_ATTEMPTS) throw error;
    }
  }
}

function openat2Once(dirfd: number, path: string, flags: number, resolve: number): number {
  openHow.bytes.writeBigUInt64LE(BigInt(flags | O.CLOEXEC), 0);
  openHow.bytes.writeBigUInt64LE(0n, 8);
  openHow.bytes.writeBigUInt64LE(BigInt(resolve), 16);
  return call('openat2', dirfd, cString(scratchA, path), openHow.address, openHow.bytes.length);
}

/** open_tree(2): the root of a detached copy of the mount at `path`, or at the descriptor `dirfd` if it is empty. */
export function cloneTree(dirfd: number, path: string, recursive: boolean): number {
  const flags = OPEN_TREE_CLONE | O.CLOEXEC | AT.EMPTY_PATH | (recursive ? AT.RECURSIVE : 0);
  return call('open_tree', dirfd, cString(scratchA, path), flags);
}

const MOVE_MOUNT_F_EMPTY_PATH = 0x4;
const MOVE_MOUNT_T_EMPTY_PATH = 0x40;

/** move_mount(2): gives the mount that `mountFd` is the root of the place `targetFd`. */
export function moveMount(mountFd: number, targetFd: number): void {
  const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  call('move_mount', mountFd, empty.address, targetFd, empty.address, flags);
}

const attributeMemory = allocate(32);

export interface AttributeChange {
  /** MOUNT_ATTR bits to turn on and off. */
  readonly set?: number;
  readonly clear?: number;
  /** MS.PRIVATE, MS.SLAVE, MS.SHARED; 0 keeps it. */
  readonly propagation?: number;
  readonly recursive?: boolean;
}

/**
 * mount_setattr(2) on the mount that `fd` is the root of. The way access times are kept is one field: who sets it
 * clears MOUNT_ATTR.ATIME as well.
 */
export function changeMount(fd: number, change: AttributeChange): void {
  const { set = 0, clear = 0, propagation = 0, recursive = false } = change;
  [set, clear, propagation, 0].forEach((value, index) => {
    attributeMemory.bytes.writeBigUInt64LE(BigInt(value), index * 8);
  });
  const flags = AT.EMPTY_PATH | (recursive ? AT.RECURSIVE : 0);
  call('mount_setattr', fd, empty.address, flags, attributeMemory.address, attributeMemory.bytes.length);
}

const FSCONFIG = { SET_FLAG: 0, SET_STRING: 1, CMD_CREATE: 6 } as const;
const FSOPEN_CLOEXEC = 1;
const FSMOUNT_CLOEXEC = 1;

/** What fsconfig(2) is told: a bare word, or a name and its value. */
export type FilesystemOption = readonly [name: string, value?: string];

/**
 * fsopen(2), fsconfig(2) for each option, fsmount(2): the root of a new, detached mount with MOUNT_ATTR `attributes`.
 * The caller closes the descriptor.
 */
export function newMount(type: string, options: readonly FilesystemOption[], attributes: number): number {
  const context = call('fsopen', cString(scratchA, type), FSOPEN_CLOEXEC);
  try {
    for (const [name, value] of options) {
      if (value === undefined) call('fsconfig', context, FSCONFIG.SET_FLAG, cString(scratchA, name));
      else call('fsconfig', context, FSCONFIG.SET_STRING, cString(scratchA, name), cString(scratchB, value));
    }
    call('fsconfig', context, FSCONFIG.CMD_CREATE);
    return call('fsmount', context, FSMOUNT_CLOEXEC, attributes);
  } finally {
    native.close(context);
  }
}
