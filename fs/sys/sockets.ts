/**
 * Passes a file descriptor between processes over UNIX sockets: socketpair(2), recvmsg(2), cmsg(3).
 *
 * Rule: a message is one byte with at most one descriptor; whatever else arrives is not ours. Offsets are those of
 * 64-bit Linux, little-endian.
 */
import { E, Errno } from './errno.js';
import { allocate, errno, processNative } from './native.js';

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;

/** struct msghdr, struct iovec, struct cmsghdr. */
const MSGHDR = { iov: 16, iovlen: 24, control: 32, controllen: 40, size: 56 } as const;
const IOVEC = { base: 0, length: 8, size: 16 } as const;
const CMSG = { length: 0, level: 8, type: 12, data: 16, space: 24 } as const;
const SIZEOF_INT = 4;
/** What descriptors are announced with must be some data. */
const PAYLOAD = 1;

/** socketpair(2) of connected stream sockets, which child processes do not inherit. */
export function socketpair(): [number, number] {
  const pair = Buffer.alloc(2 * SIZEOF_INT);
  if (processNative().socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
    throw new Errno(errno(), 'socketpair');
  }
  return [pair.readInt32LE(0), pair.readInt32LE(SIZEOF_INT)];
}

/** recvmsg(2): the descriptor that the other end has sent (SCM_RIGHTS), close-on-exec; undefined if it sent none. */
export function receiveDescriptor(socket: number): number | undefined {
  const payload = allocate(PAYLOAD);
  const control = allocate(CMSG.space);
  const iovec = allocate(IOVEC.size);
  const message = allocate(MSGHDR.size);
  iovec.bytes.writeBigUInt64LE(BigInt(payload.address), IOVEC.base);
  iovec.bytes.writeBigUInt64LE(BigInt(PAYLOAD), IOVEC.length);
  message.bytes.writeBigUInt64LE(BigInt(iovec.address), MSGHDR.iov);
  message.bytes.writeBigUInt64LE(1n, MSGHDR.iovlen);
  message.bytes.writeBigUInt64LE(BigInt(control.address), MSGHDR.control);
  message.bytes.writeBigUInt64LE(BigInt(CMSG.space), MSGHDR.controllen);
  if (processNative().recvmsg(socket, message.address, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0) {
    const code = errno();
    if (code === E.EAGAIN) return undefined;
    throw new Errno(code, 'recvmsg');
  }
  const { bytes } = control;
  const hasOne =
    message.bytes.readBigUInt64LE(MSGHDR.controllen) > 0n &&
    bytes.readBigUInt64LE(CMSG.length) === BigInt(CMSG.data + SIZEOF_INT) &&
    bytes.readInt32LE(CMSG.level) === SOL_SOCKET &&
    bytes.readInt32LE(CMSG.type) === SCM_RIGHTS;
  return hasOne ? bytes.readInt32LE(CMSG.data) : undefined;
}
