/**
 * The operation table: one row per opcode with its name, decoding, and execution.
 *
 * Rules: an opcode without a row does not compile. A row either answers or is marked `unanswered` as the protocol
 * demands (FORGET, BATCH_FORGET, INTERRUPT, NOTIFY_REPLY). A refused operation has a comment with the reason: ENOSYS
 * often selects a mode of the kernel.
 */

import { S } from '../sys/constants.js';
import { E, Errno } from '../sys/errno.js';
import type { TimeChange } from '../sys/syscalls.js';
import {
  FATTR,
  FUSE_FSYNC_FDATASYNC,
  FUSE_SETXATTR_ACL_KILL_SGID,
  FUSE_WRITE_KILL_SUIDGID,
  Opcode,
  SIZEOF,
} from './abi.js';
import { type Cursor, decodeDevice, type RequestHeader } from './decode.js';
import type { Reply } from './encode.js';
import type { AttributeChanges, Filesystem, NodeId } from './filesystem.js';
import type { Connection } from './handshake.js';

/** A row of the table. `Args` is what `decode` found; `--trace` prints it. */
export interface Operation<Args = unknown> {
  readonly name: string;
  /** True for messages that must not be answered. */
  readonly unanswered?: true;
  decode(cursor: Cursor, connection: Connection): Args;
  /** Fills the reply. A failure is thrown as `Errno`, or returned as a number if it is frequent. */
  run(fs: Filesystem, request: RequestHeader, args: Args, reply: Reply): unknown;
}

/** Ties the type of `decode`'s result to `run`'s argument, then forgets it: rows share one table type. */
function operation<Args>(row: Operation<Args>): Operation {
  return row as Operation;
}

const nothing = (): undefined => undefined;

/** A row that is always refused with `code`; the comment at its use says why. */
function refuse(name: string, code: number): Operation {
  return {
    name,
    decode: nothing,
    run: () => {
      throw new Errno(code);
    },
  };
}

/** A row that succeeds and has nothing to do. */
function accept(name: string): Operation {
  return { name, decode: nothing, run: nothing };
}

function nodeId(cursor: Cursor): NodeId {
  return cursor.u64() as NodeId;
}

/** struct fuse_setattr_in; ctime is not taken over: the layer's filesystem keeps its own. */
function decodeSetattr(cursor: Cursor): AttributeChanges {
  const at = cursor.take(SIZEOF.fuse_setattr_in);
  const valid = cursor.u32At(at);
  return {
    mode: (valid & FATTR.MODE) === 0 ? undefined : cursor.u32At(at + 68) & ~S.IFMT,
    uid: (valid & FATTR.UID) === 0 ? undefined : cursor.u32At(at + 76),
    gid: (valid & FATTR.GID) === 0 ? undefined : cursor.u32At(at + 80),
    size: (valid & FATTR.SIZE) === 0 ? undefined : cursor.placeAt(at + 16),
    atime: timeChange(cursor, valid, FATTR.ATIME_NOW, FATTR.ATIME, at + 32, at + 56),
    mtime: timeChange(cursor, valid, FATTR.MTIME_NOW, FATTR.MTIME, at + 40, at + 60),
    killSetId: (valid & FATTR.KILL_SUIDGID) !== 0,
  };
}

/** Largest argument of an ioctl that is answered; `_IOC_SIZE` itself has 14 bits. */
const IOCTL_MAX = 1 << 14;

/** struct fuse_ioctl_in and what it carries; what it carries and what is answered share one buffer. */
function decodeIoctl(cursor: Cursor): { command: number; argument: Buffer; outLength: number } {
  cursor.skip(12); // fh, flags
  const command = cursor.u32();
  cursor.skip(8); // arg
  const [inLength, outLength] = [cursor.u32(), cursor.u32()];
  if (inLength > IOCTL_MAX || outLength > IOCTL_MAX) throw new Errno(E.ENOTTY);
  const argument = Buffer.alloc(Math.max(inLength, outLength));
  cursor.data(inLength).copy(argument);
  return { command, argument, outLength };
}

function timeChange(
  cursor: Cursor,
  valid: number,
  now: number,
  given: number,
  secondsAt: number,
  nanosecondsAt: number,
): TimeChange | undefined {
  if ((valid & now) !== 0) return 'now';
  if ((valid & given) === 0) return undefined;
  return { seconds: cursor.secondsAt(secondsAt), nanoseconds: cursor.u32At(nanosecondsAt) };
}

/** struct fuse_setxattr_in grew with SETXATTR_EXT. */
function decodeSetxattr(cursor: Cursor, connection: Connection) {
  const size = cursor.u32();
  const flags = cursor.u32();
  const extended = connection.flags.has('SETXATTR_EXT');
  const setxattrFlags = extended ? cursor.u32() : 0;
  if (extended) cursor.skip(4);
  const name = cursor.name();
  const killSetGid = (setxattrFlags & FUSE_SETXATTR_ACL_KILL_SGID) !== 0;
  return { name, value: cursor.data(size), flags, killSetGid };
}

/** struct fuse_read_in: READ, READDIR and READDIRPLUS share it; the offset of a directory is a cookie. */
function decodeRead(cursor: Cursor) {
  cursor.skip(8); // fh
  return { offset: cursor.offset(), size: cursor.u32() };
}

function decodeFsync(cursor: Cursor) {
  cursor.skip(8); // fh
  return { dataOnly: (cursor.u32() & FUSE_FSYNC_FDATASYNC) !== 0 };
}

function runFsync(fs: Filesystem, { node }: RequestHeader, flush: { dataOnly: boolean }, reply: Reply): void {
  const fd = fs.unflushed(node);
  if (fd !== undefined) reply.flushFirst(fd, flush.dataOnly);
}

/** Answers GETXATTR and LISTXATTR: size 0 asks for the length, a buffer that is too small is ERANGE. */
function answerSized(reply: Reply, value: Uint8Array, size: number): number | undefined {
  if (size !== 0 && value.length > size) return E.ERANGE;
  if (size !== 0) reply.bytes(value);
  else answerCount32(reply, value.length);
  return undefined;
}

function decodeXattrSize(cursor: Cursor): number {
  const size = cursor.u32();
  cursor.skip(4);
  return size;
}

function rename(name: string, layout: 'fuse_rename_in' | 'fuse_rename2_in'): Operation {
  return operation({
    name,
    decode: (cursor) => {
      const newParent = nodeId(cursor);
      const flags = layout === 'fuse_rename2_in' ? cursor.u32() : 0;
      if (layout === 'fuse_rename2_in') cursor.skip(4);
      return { newParent, flags, name: cursor.name(), newName: cursor.name() };
    },
    run: (fs, { node }, args) => fs.rename(node, args.name, args.newParent, args.newName, args.flags),
  });
}

function answerCount32(reply: Reply, count: number): void {
  reply.u32(count);
  reply.u32(0);
}

/** What one COPY_FILE_RANGE copies at most: its answer's 32-bit count bounds it, and others wait meanwhile. */
const MAX_COPY = 64 * 1024 * 1024;

/** struct fuse_copy_file_range_in; the two forms differ in the width of the answer's count. */
function copyFileRange(name: string, answer: (reply: Reply, count: number) => void): Operation {
  return operation({
    name,
    decode: (cursor) => {
      cursor.skip(8); // fh_in
      const fromOffset = cursor.offset();
      const to = nodeId(cursor);
      cursor.skip(8); // fh_out
      return { fromOffset, to, toOffset: cursor.place(), length: Math.min(cursor.offset(), MAX_COPY) };
    },
    run: (fs, request, args, reply) =>
      answer(
        reply,
        fs.copyFileRange(request, request.node, args.fromOffset, args.to, args.toOffset, args.length),
      ),
  });
}

export const operations = {
  [Opcode.LOOKUP]: operation({
    name: 'LOOKUP',
    decode: (cursor) => ({ name: cursor.name() }),
    run: (fs, request, { name }, reply) => {
      const result = fs.lookup(request, request.node, name);
      if ('absentFor' in result) reply.negativeEntry(result.absentFor);
      else reply.entry(result);
    },
  }),
  [Opcode.FORGET]: operation({
    name: 'FORGET',
    unanswered: true,
    decode: (cursor) => ({ lookups: cursor.u64() }),
    run: (fs, { node }, { lookups }) => fs.forget(node, lookups),
  }),
  [Opcode.BATCH_FORGET]: operation({
    name: 'BATCH_FORGET',
    unanswered: true,
    decode: (cursor) => {
      const count = cursor.u32();
      cursor.skip(4);
      const forgets: { node: NodeId; lookups: number }[] = [];
      for (let i = 0; i < count; i++) forgets.push({ node: nodeId(cursor), lookups: cursor.u64() });
      return { forgets };
    },
    run: (fs, _request, { forgets }) => {
      for (const { node, lookups } of forgets) fs.forget(node, lookups);
    },
  }),
  [Opcode.GETATTR]: operation({
    name: 'GETATTR',
    decode: nothing, // flags and fh: there are no file handles
    run: (fs, { node }, _args, reply) => {
      const { attributes, attributeTimeout } = fs.getattr(node);
      reply.attr(attributes, attributeTimeout);
    },
  }),
  [Opcode.SETATTR]: operation({
    name: 'SETATTR',
    decode: decodeSetattr,
    run: (fs, request, changes, reply) => {
      const { attributes, attributeTimeout } = fs.setattr(request, request.node, changes);
      reply.attr(attributes, attributeTimeout);
    },
  }),
  [Opcode.READLINK]: operation({
    name: 'READLINK',
    decode: nothing,
    run: (fs, { node }, _args, reply) => reply.text(fs.readlink(node)),
  }),
  [Opcode.SYMLINK]: operation({
    name: 'SYMLINK',
    decode: (cursor) => ({ name: cursor.name(), target: cursor.name() }),
    run: (fs, request, { name, target }, reply) =>
      reply.entry(fs.create(request, request.node, name, { kind: 'symlink', target })),
  }),
  [Opcode.MKNOD]: operation({
    name: 'MKNOD',
    decode: (cursor) => {
      const mode = cursor.u32();
      const { major, minor } = decodeDevice(cursor.u32());
      const umask = cursor.u32();
      cursor.skip(4);
      return { name: cursor.name(), inode: { kind: 'node' as const, mode, umask, major, minor } };
    },
    run: (fs, request, { name, inode }, reply) => reply.entry(fs.create(request, request.node, name, inode)),
  }),
  [Opcode.MKDIR]: operation({
    name: 'MKDIR',
    decode: (cursor) => {
      const mode = cursor.u32();
      const umask = cursor.u32();
      return { name: cursor.name(), inode: { kind: 'directory' as const, mode, umask } };
    },
    run: (fs, request, { name, inode }, reply) => reply.entry(fs.create(request, request.node, name, inode)),
  }),
  [Opcode.UNLINK]: operation({
    name: 'UNLINK',
    decode: (cursor) => ({ name: cursor.name() }),
    run: (fs, { node }, { name }) => fs.unlink(node, name),
  }),
  [Opcode.RMDIR]: operation({
    name: 'RMDIR',
    decode: (cursor) => ({ name: cursor.name() }),
    run: (fs, { node }, { name }) => fs.rmdir(node, name),
  }),
  [Opcode.RENAME]: rename('RENAME', 'fuse_rename_in'),
  [Opcode.RENAME2]: rename('RENAME2', 'fuse_rename2_in'),
  [Opcode.LINK]: operation({
    name: 'LINK',
    decode: (cursor) => ({ existing: nodeId(cursor), name: cursor.name() }),
    run: (fs, { node }, { existing, name }, reply) => reply.entry(fs.link(existing, node, name)),
  }),
  // Opens cost no message: ENOSYS puts the kernel into zero-message mode (NO_OPEN_SUPPORT, NO_OPENDIR_SUPPORT).
  [Opcode.OPEN]: refuse('OPEN', E.ENOSYS),
  [Opcode.OPENDIR]: refuse('OPENDIR', E.ENOSYS),
  // CREATE would bring a RELEASE for every file; ENOSYS makes it MKNOD and a free open.
  [Opcode.CREATE]: refuse('CREATE', E.ENOSYS),
  // Nothing happens at close: there is no state per open file.
  [Opcode.FLUSH]: refuse('FLUSH', E.ENOSYS),
  [Opcode.RELEASE]: accept('RELEASE'),
  [Opcode.RELEASEDIR]: accept('RELEASEDIR'),
  [Opcode.READ]: operation({
    name: 'READ',
    decode: decodeRead,
    run: (fs, { node }, { offset, size }, reply) => reply.filled(fs.read(node, offset, reply.room(size))),
  }),
  [Opcode.WRITE]: operation({
    name: 'WRITE',
    decode: (cursor) => {
      cursor.skip(8); // fh
      const offset = cursor.place();
      const size = cursor.u32();
      const writeFlags = cursor.u32();
      cursor.skip(8 + 4 + 4); // lock_owner, flags, padding
      return { offset, data: cursor.data(size), killSetId: (writeFlags & FUSE_WRITE_KILL_SUIDGID) !== 0 };
    },
    run: (fs, request, { offset, data, killSetId }, reply) =>
      answerCount32(reply, fs.write(request, request.node, offset, data, killSetId)),
  }),
  [Opcode.STATFS]: operation({
    name: 'STATFS',
    decode: nothing,
    run: (fs, _request, _args, reply) => {
      const stat = fs.statfs();
      for (const wide of [stat.blocks, stat.bfree, stat.bavail, stat.files, stat.ffree]) reply.u64(wide);
      for (const word of [stat.bsize, stat.namelen, stat.frsize, 0]) reply.u32(word);
      for (let spare = 0; spare < 6; spare++) reply.u32(0);
    },
  }),
  [Opcode.FSYNC]: operation({
    name: 'FSYNC',
    decode: decodeFsync,
    run: runFsync,
  }),
  [Opcode.FSYNCDIR]: operation({
    name: 'FSYNCDIR',
    decode: decodeFsync,
    run: runFsync,
  }),
  [Opcode.SETXATTR]: operation({
    name: 'SETXATTR',
    decode: decodeSetxattr,
    run: (fs, { node }, { name, value, flags, killSetGid }) =>
      fs.setxattr(node, name, value, flags, killSetGid),
  }),
  [Opcode.GETXATTR]: operation({
    name: 'GETXATTR',
    decode: (cursor) => {
      const size = decodeXattrSize(cursor);
      return { size, name: cursor.name() };
    },
    run: (fs, { node }, { name, size }, reply) => {
      const value = fs.getxattr(node, name);
      return value === undefined ? E.ENODATA : answerSized(reply, value, size);
    },
  }),
  [Opcode.LISTXATTR]: operation({
    name: 'LISTXATTR',
    decode: decodeXattrSize,
    run: (fs, request, size, reply) => {
      const list = fs
        .listxattr(request, request.node)
        .map((name) => `${name}\0`)
        .join('');
      return answerSized(reply, Buffer.from(list, 'latin1'), size);
    },
  }),
  [Opcode.REMOVEXATTR]: operation({
    name: 'REMOVEXATTR',
    decode: (cursor) => ({ name: cursor.name() }),
    run: (fs, { node }, { name }) => fs.removexattr(node, name),
  }),
  // The session answers the first INIT itself; a second one on a live connection is an error.
  [Opcode.INIT]: refuse('INIT', E.EIO),
  [Opcode.READDIR]: operation({
    name: 'READDIR',
    decode: decodeRead,
    run: (fs, { node }, { offset, size }, reply) => {
      reply.limit(size);
      fs.readdir(node, offset, { add: (name, ino, mode, cookie) => reply.dirent(name, ino, mode, cookie) });
    },
  }),
  [Opcode.READDIRPLUS]: operation({
    name: 'READDIRPLUS',
    decode: decodeRead,
    run: (fs, { node }, { offset, size }, reply) => {
      reply.limit(size);
      fs.readdirplus(node, offset, {
        add: (name, ino, mode, cookie, resolve) => {
          if (!reply.hasRoomForPlus(name)) return false;
          const entry = resolve?.();
          reply.direntPlus(name, entry?.attributes.ino ?? ino, mode, cookie, entry);
          return true;
        },
      });
    },
  }),
  // Locks are the kernel's own: POSIX_LOCKS and FLOCK_LOCKS are not negotiated.
  [Opcode.GETLK]: refuse('GETLK', E.ENOSYS),
  [Opcode.SETLK]: refuse('SETLK', E.ENOSYS),
  [Opcode.SETLKW]: refuse('SETLKW', E.ENOSYS),
  // default_permissions: the kernel checks access itself.
  [Opcode.ACCESS]: refuse('ACCESS', E.ENOSYS),
  // Requests are answered in order by one thread: by the time an INTERRUPT is read, its request is answered.
  [Opcode.INTERRUPT]: { name: 'INTERRUPT', unanswered: true, decode: nothing, run: nothing },
  [Opcode.NOTIFY_REPLY]: { name: 'NOTIFY_REPLY', unanswered: true, decode: nothing, run: nothing },
  [Opcode.BMAP]: refuse('BMAP', E.ENOSYS),
  [Opcode.DESTROY]: accept('DESTROY'),
  [Opcode.IOCTL]: operation({
    name: 'IOCTL',
    decode: decodeIoctl,
    run: (fs, { node }, { command, argument, outLength }, reply) => {
      fs.ioctl(node, command, argument);
      reply.u32(0); // result
      reply.u32(0); // flags
      reply.u32(0); // in_iovs
      reply.u32(0); // out_iovs
      argument.copy(reply.room(outLength), 0, 0, outLength);
      reply.filled(outLength);
    },
  }),
  // ENOSYS: poll(2) then always reports files as ready, as local filesystems do.
  [Opcode.POLL]: refuse('POLL', E.ENOSYS),
  [Opcode.FALLOCATE]: operation({
    name: 'FALLOCATE',
    decode: (cursor) => {
      cursor.skip(8); // fh
      return { offset: cursor.place(), length: cursor.place(), mode: cursor.u32() };
    },
    run: (fs, request, { mode, offset, length }) => fs.fallocate(request, request.node, mode, offset, length),
  }),
  [Opcode.LSEEK]: operation({
    name: 'LSEEK',
    decode: (cursor) => {
      cursor.skip(8); // fh
      return { offset: cursor.offset(), whence: cursor.u32() };
    },
    run: (fs, { node }, { offset, whence }, reply) => reply.u64(fs.lseek(node, offset, whence)),
  }),
  [Opcode.COPY_FILE_RANGE]: copyFileRange('COPY_FILE_RANGE', answerCount32),
  [Opcode.COPY_FILE_RANGE_64]: copyFileRange('COPY_FILE_RANGE_64', (reply, count) => reply.u64(count)),
  // DAX windows exist on virtiofs only, and so does SYNCFS.
  [Opcode.SETUPMAPPING]: refuse('SETUPMAPPING', E.ENOSYS),
  [Opcode.REMOVEMAPPING]: refuse('REMOVEMAPPING', E.ENOSYS),
  [Opcode.SYNCFS]: refuse('SYNCFS', E.ENOSYS),
  // The one open that costs a message, and a RELEASE: the kernel makes and opens the file in one.
  [Opcode.TMPFILE]: operation({
    name: 'TMPFILE',
    decode: (cursor) => {
      cursor.skip(4); // flags
      const mode = cursor.u32();
      const umask = cursor.u32();
      cursor.skip(4); // open_flags
      cursor.name(); // "/", which means nothing
      return { mode, umask };
    },
    run: (fs, request, { mode, umask }, reply) => {
      reply.entry(fs.tmpfile(request, request.node, mode, umask));
      reply.u64(0); // fuse_open_out: fh, open_flags, backing_id
      reply.u64(0);
    },
  }),
  // Birth times would cost Node's and Rust's every stat() a message: they always ask for them (docs/decisions/003-statx-is-answered-enosys.md).
  [Opcode.STATX]: refuse('STATX', E.ENOSYS),
} satisfies Record<Opcode, Operation>;

/** The row of an opcode read off the wire; undefined for numbers this version does not know. */
export function operationOf(opcode: number): Operation | undefined {
  return (operations as Record<number, Operation>)[opcode];
}
