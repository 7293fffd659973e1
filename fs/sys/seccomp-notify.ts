/**
 * Answers system calls of another process: seccomp_unotify(2), and access to it: pidfd_getfd(2), proc(5).
 *
 * Rules: what a target's memory holds is read as long as the target waits, and counts only if it still waits afterwards
 * (`isWaiting`): its pid may be another process's by then. Failures throw `Errno`.
 */
import { AT, O } from './constants.js';
import { E, Errno, unless } from './errno.js';
import { allocate, errno, native } from './native.js';
import { close, openat, pread, pwrite } from './syscalls.js';

// The same numbers on every architecture (syscalls(2)).
const SYS_pidfd_open = 434;
const SYS_pidfd_getfd = 438;

/** A copy of descriptor `fd` of process `pid`. Takes the right to trace it. */
export function descriptorOf(pid: number, fd: number): number {
  const pidfd = native.syscallPath(SYS_pidfd_open, pid, null, 0, null, 0);
  if (pidfd < 0) throw new Errno(errno(), 'pidfd_open');
  const copy = native.syscallPath(SYS_pidfd_getfd, pidfd, fd, 0, null, 0);
  const code = errno();
  close(pidfd);
  if (copy < 0) throw new Errno(code, 'pidfd_getfd');
  return copy;
}

const SECCOMP_IOCTL_NOTIF_RECV = 0xc0502100;
const SECCOMP_IOCTL_NOTIF_SEND = 0xc0182101;
const SECCOMP_IOCTL_NOTIF_ID_VALID = 0x40082102;
/** Synchronous wake-up, since both sides wait for each other (Linux 6.6; optional). */
const SECCOMP_IOCTL_NOTIF_SET_FLAGS = 0x40082104;
const SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP = 1;
const SIZEOF_NOTIFICATION = 80; // struct seccomp_notif
const SIZEOF_RESPONSE = 24; // struct seccomp_notif_resp
const SIZEOF_ID = 8;
const ARGUMENTS = 6;
const OFFSET = { pid: 8, call: 16, arguments: 32 } as const;

/** A call that waits for an answer. */
export interface Notification {
  readonly id: bigint;
  /** The thread that calls. */
  readonly tid: number;
  /** The number of the call on the native architecture. */
  readonly call: number;
  readonly args: readonly bigint[];
}

/** An argument as the word of 32 bits that most are. */
export const word = ({ args }: Notification, index: number): number =>
  Number((args[index] ?? 0n) & 0xffffffffn);

/** The listener of a filter with notifications. */
export class SeccompListener {
  readonly fd: number;
  readonly #notification = allocate(SIZEOF_NOTIFICATION);
  readonly #response = allocate(SIZEOF_RESPONSE);
  readonly #id = allocate(SIZEOF_ID);

  constructor(fd: number) {
    this.fd = fd;
    native.ioctlInt(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP);
  }

  /** The next call; undefined if its thread is gone meanwhile. Waits for one. */
  receive(): Notification | undefined {
    const { bytes, address } = this.#notification;
    bytes.fill(0); // or the kernel refuses
    if (native.ioctlPointer(this.fd, SECCOMP_IOCTL_NOTIF_RECV, address) < 0) {
      const code = errno();
      if (code === E.ENOENT || code === E.EINTR) return undefined;
      throw new Errno(code, 'ioctl');
    }
    return {
      id: bytes.readBigUInt64LE(0),
      tid: bytes.readUInt32LE(OFFSET.pid),
      call: bytes.readInt32LE(OFFSET.call),
      args: Array.from({ length: ARGUMENTS }, (_, index) =>
        bytes.readBigUInt64LE(OFFSET.arguments + index * 8),
      ),
    };
  }

  /** Whether the call still waits: then its tid has meant its thread all the time. */
  isWaiting({ id }: Notification): boolean {
    this.#id.bytes.writeBigUInt64LE(id);
    return native.ioctlPointer(this.fd, SECCOMP_IOCTL_NOTIF_ID_VALID, this.#id.address) === 0;
  }

  /** Answers the call; ignored if the process has ended. */
  answer({ id }: Notification, answer: Answer): void {
    const { bytes, address } = this.#response;
    bytes.fill(0);
    bytes.writeBigUInt64LE(id, 0);
    if (answer === 'continue') bytes.writeUInt32LE(SECCOMP_USER_NOTIF_FLAG_CONTINUE, 20);
    else if ('error' in answer) bytes.writeInt32LE(-answer.error, 16);
    else bytes.writeBigInt64LE(BigInt(answer.result), 8);
    native.ioctlPointer(this.fd, SECCOMP_IOCTL_NOTIF_SEND, address);
  }
}

/** What a call gives: a result, an errno, or what the kernel gives. The last is no check: arguments may have changed. */
export type Answer = { readonly result: number } | { readonly error: number } | 'continue';

const SECCOMP_USER_NOTIF_FLAG_CONTINUE = 1;

const PAGE = 4096n;

/**
 * A NUL-terminated string in a process's memory, one character a byte.
 * @param limit bytes, the NUL counted
 * @throws Errno EFAULT, ENAMETOOLONG
 */
export function stringAt(tid: number, address: bigint, limit: number): string {
  const fd = openat(AT.FDCWD, `/proc/${tid}/mem`, O.RDONLY);
  try {
    let text = '';
    for (let at = address; text.length < limit; ) {
      const piece = Buffer.alloc(Math.min(Number(PAGE - (at % PAGE)), limit - text.length));
      const count = readAt(fd, piece, at);
      const end = piece.subarray(0, count).indexOf(0);
      text += piece.toString('latin1', 0, end < 0 ? count : end);
      if (end >= 0) return text;
      at += BigInt(count);
    }
    throw new Errno(E.ENAMETOOLONG);
  } finally {
    close(fd);
  }
}

/** Reads 32-bit words of a process's memory. Throws Errno EFAULT. */
export function wordsAt(tid: number, address: bigint, count: number): number[] {
  const bytes = Buffer.alloc(count * SIZEOF_WORD);
  if (count === 0) return [];
  const fd = openat(AT.FDCWD, `/proc/${tid}/mem`, O.RDONLY);
  try {
    if (readAt(fd, bytes, address) !== bytes.length) throw new Errno(E.EFAULT);
  } finally {
    close(fd);
  }
  return Array.from({ length: count }, (_, index) => bytes.readUInt32LE(index * SIZEOF_WORD));
}

/** Writes 32-bit words to a process's memory. Throws Errno EFAULT. */
export function writeWordsAt(tid: number, address: bigint, words: readonly number[]): void {
  writeBytesAt(tid, address, Buffer.from(Uint32Array.from(words).buffer));
}

/** Writes to a process's memory. Throws Errno EFAULT. */
export function writeBytesAt(tid: number, address: bigint, bytes: Buffer): void {
  if (bytes.length === 0) return;
  if (address >= USER_SPACE_END) throw new Errno(E.EFAULT);
  const fd = openat(AT.FDCWD, `/proc/${tid}/mem`, O.WRONLY);
  try {
    const written = unless([E.EIO, E.EFAULT], () => pwrite(fd, bytes, bytes.length, Number(address)));
    if (written !== bytes.length) throw new Errno(E.EFAULT);
  } finally {
    close(fd);
  }
}

const SIZEOF_WORD = 4;
/** Where user space ends on every 64-bit architecture, and doubles are still exact enough not to matter. */
const USER_SPACE_END = 2n ** 53n;

function readAt(fd: number, into: Buffer, address: bigint): number {
  if (address >= USER_SPACE_END) throw new Errno(E.EFAULT);
  let count = 0;
  try {
    count = pread(fd, into, into.length, Number(address));
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
  }
  if (count === 0) throw new Errno(E.EFAULT);
  return count;
}
