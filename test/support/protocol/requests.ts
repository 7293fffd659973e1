/**
 * One example of every request: its bytes as the kernel sends them (include/uapi/linux/fuse.h), the call it must
 * become, what the filesystem answers, and the bytes of the reply. The headers are those of `bytes.ts`.
 */
import { Opcode } from '../../../fs/protocol/abi.js';
import type { Attributes, Entry, NodeId } from '../../../fs/protocol/filesystem.js';
import type { Stat } from '../../../fs/sys/stat.js';
import { CALLER, hex, NODE, UNCHANGED } from './bytes.js';
import type { Answers, Call } from './harness.js';

export interface Example {
  readonly what: string;
  readonly opcode: number;
  readonly body: Buffer;
  /** How much of the body the answer depends on; all of it if not given. */
  readonly needs?: number;
  readonly calls: readonly Call[];
  readonly answers?: Answers;
  /** The body of the reply; 'none' for requests that must not be answered. */
  readonly reply: Buffer | 'none';
  /** The reply's errno. */
  readonly error?: 'ENODATA' | 'ERANGE' | 'ENOSYS' | 'ENOTTY' | 'EIO';
  /** The connection has not agreed on SETXATTR_EXT. */
  readonly old?: true;
}

/** Every field has another value; the inode number takes all of 64 bits, and a time lies before 1970. */
export const STAT: Stat = {
  ino: 0x8877665544332211n,
  size: 0x123456789a,
  blocks: 77,
  atime: { seconds: 0x65432100, nanoseconds: 1 },
  mtime: { seconds: -2, nanoseconds: 999_999_999 },
  ctime: { seconds: 0x1_0000_0001, nanoseconds: 3 },
  attributes: 0,
  mode: 0o100644,
  nlink: 4,
  uid: 1000,
  gid: 100,
  rdevMajor: 0x123,
  rdevMinor: 0x45678,
  blksize: 4096,
  dev: 1,
};

/** struct fuse_attr of STAT. */
const ATTR = `
  11 22 33 44 55 66 77 88  # ino
  9a 78 56 34 12 00 00 00  # size
  4d 00 00 00 00 00 00 00  # blocks 77
  00 21 43 65 00 00 00 00  # atime
  fe ff ff ff ff ff ff ff  # mtime -2
  01 00 00 00 01 00 00 00  # ctime
  01 00 00 00              # atimensec
  ff c9 9a 3b              # mtimensec
  03 00 00 00              # ctimensec
  a4 81 00 00              # mode 0100644
  04 00 00 00              # nlink
  e8 03 00 00              # uid 1000
  64 00 00 00              # gid 100
  78 23 61 45              # rdev: new_encode_dev(0x123:0x45678)
  00 10 00 00              # blksize 4096
  00 00 00 00              # flags
`;

export const ENTRY: Entry = {
  nodeid: 9 as NodeId,
  attributes: STAT,
  entryTimeout: 0x100000002,
  attributeTimeout: 5,
};

/** struct fuse_entry_out of ENTRY. */
export const ENTRY_BYTES = hex(`
  09 00 00 00 00 00 00 00  # nodeid
  00 00 00 00 00 00 00 00  # generation
  02 00 00 00 01 00 00 00  # entry_valid
  05 00 00 00 00 00 00 00  # attr_valid
  00 00 00 00 00 00 00 00  # entry_valid_nsec, attr_valid_nsec
  ${ATTR}
`);

const ATTRIBUTES: Attributes = { attributes: STAT, attributeTimeout: 6 };

/** struct fuse_attr_out of ATTRIBUTES. */
const ATTR_OUT = hex(`
  06 00 00 00 00 00 00 00  # attr_valid
  00 00 00 00 00 00 00 00  # attr_valid_nsec, dummy
  ${ATTR}
`);

const EMPTY = Buffer.alloc(0);
const text = (value: string): Buffer => Buffer.from(value, 'latin1');

/** A SETATTR whose fields are all filled; `valid` says which count. */
const setattr = (valid: string): Buffer =>
  hex(`
    ${valid}                 # valid
    aa aa aa aa              # padding
    bb bb bb bb bb bb bb bb  # fh
    00 10 00 00 02 00 00 00  # size 0x200001000
    cc cc cc cc cc cc cc cc  # lock_owner
    ff ff ff ff ff ff ff ff  # atime -1
    10 00 00 00 01 00 00 00  # mtime 0x100000010
    dd dd dd dd dd dd dd dd  # ctime
    07 00 00 00              # atimensec
    08 00 00 00              # mtimensec
    ee ee ee ee              # ctimensec
    ed 89 00 00              # mode 0104755
    aa aa aa aa              # unused4
    e8 03 00 00              # uid 1000
    ff ff ff ff              # gid 4294967295
    aa aa aa aa              # unused5
  `);
function setattrExample(what: string, valid: string, changes: object): Example {
  return {
    what,
    opcode: Opcode.SETATTR,
    body: setattr(valid),
    calls: [['setattr', CALLER, NODE, { ...UNCHANGED, ...changes }]],
    answers: { setattr: () => ATTRIBUTES },
    reply: ATTR_OUT,
  };
}

/** struct fuse_read_in with a handle; lock_owner, flags and padding do not matter here. */
const read = (size: string): Buffer =>
  hex(`
    bb bb bb bb bb bb bb bb  # fh
    00 02 00 00 01 00 00 00  # offset 0x100000200
    ${size}                  # size
    00 00 00 00              # read_flags
    cc cc cc cc cc cc cc cc  # lock_owner
    00 80 00 00              # flags
    00 00 00 00              # padding
  `);
const READ_NEEDS = 20;
const READ_OFFSET = 0x100000200;

const copyFileRange = (length: string): Buffer =>
  hex(`
    bb bb bb bb bb bb bb bb  # fh_in
    00 10 00 00 00 00 00 00  # off_in 4096
    08 00 00 00 00 00 00 00  # nodeid_out
    bb bb bb bb bb bb bb bb  # fh_out
    00 20 00 00 01 00 00 00  # off_out 0x100002000
    ${length}                # len
    00 00 00 00 00 00 00 00  # flags
  `);
const IOCTL_HEADER = 32;
const COPY_NEEDS = 48;
const copyCall = (length: number): Call => ['copyFileRange', CALLER, NODE, 4096, 8, 0x100002000, length];

const DIRENTS_SIZE = '00 01 00 00'; // 256

export const EXAMPLES: readonly Example[] = [
  {
    what: 'LOOKUP of a name that exists',
    opcode: Opcode.LOOKUP,
    body: hex('6e e4 6d 65 00 # "n\\xe4me"'),
    calls: [['lookup', CALLER, NODE, 'n\xe4me']],
    answers: { lookup: () => ENTRY },
    reply: ENTRY_BYTES,
  },
  {
    what: 'LOOKUP of a name that does not exist, which the kernel may remember',
    opcode: Opcode.LOOKUP,
    body: hex('78 00'),
    calls: [['lookup', CALLER, NODE, 'x']],
    answers: { lookup: () => ({ absentFor: 3 }) },
    reply: hex(`
        00 00 00 00 00 00 00 00  # nodeid 0
        00 00 00 00 00 00 00 00  # generation
        03 00 00 00 00 00 00 00  # entry_valid
        ${'00 '.repeat(128 - 24)}
      `),
  },
  {
    what: 'FORGET',
    opcode: Opcode.FORGET,
    body: hex('05 00 00 00 01 00 00 00 # nlookup 0x100000005'),
    calls: [['forget', NODE, 0x100000005]],
    reply: 'none',
  },
  {
    what: 'BATCH_FORGET',
    opcode: Opcode.BATCH_FORGET,
    body: hex(`
      02 00 00 00              # count
      00 00 00 00              # dummy
      15 00 00 00 00 00 00 00  # nodeid 21
      01 00 00 00 00 00 00 00  # nlookup 1
      16 00 00 00 00 00 00 00  # nodeid 22
      02 00 00 00 00 00 00 00  # nlookup 2
    `),
    calls: [
      ['forget', 21, 1],
      ['forget', 22, 2],
    ],
    reply: 'none',
  },
  {
    what: 'GETATTR',
    opcode: Opcode.GETATTR,
    body: hex('01 00 00 00 00 00 00 00 bb bb bb bb bb bb bb bb # getattr_flags, dummy, fh'),
    needs: 0,
    calls: [['getattr', NODE]],
    answers: { getattr: () => ATTRIBUTES },
    reply: ATTR_OUT,
  },
  setattrExample('SETATTR of nothing but a handle, a lock owner and ctime', '40 06 00 00', {}),
  setattrExample('SETATTR of the mode, without its file type', '01 00 00 00', { mode: 0o4755 }),
  setattrExample('SETATTR of owner and group', '06 00 00 00', { uid: 1000, gid: 0xffffffff }),
  setattrExample('SETATTR of the size, which drops set-id bits', '08 08 00 00', {
    size: 0x200001000,
    killSetId: true,
  }),
  setattrExample('SETATTR of given times', '30 00 00 00', {
    atime: { seconds: -1, nanoseconds: 7 },
    mtime: { seconds: 0x100000010, nanoseconds: 8 },
  }),
  setattrExample('SETATTR of times to now', 'b0 01 00 00', { atime: 'now', mtime: 'now' }),
  {
    what: 'READLINK',
    opcode: Opcode.READLINK,
    body: EMPTY,
    calls: [['readlink', NODE]],
    answers: { readlink: () => '../\xff' },
    reply: hex('2e 2e 2f ff # no NUL'),
  },
  {
    what: 'SYMLINK',
    opcode: Opcode.SYMLINK,
    body: hex('6c 00 74 6f 00 # "l", "to"'),
    calls: [['create', CALLER, NODE, 'l', { kind: 'symlink', target: 'to' }]],
    answers: { create: () => ENTRY },
    reply: ENTRY_BYTES,
  },
  {
    what: 'MKNOD',
    opcode: Opcode.MKNOD,
    body: hex(`
      b0 61 00 00  # mode 060660
      78 23 61 45  # rdev 0x123:0x45678
      12 00 00 00  # umask 022
      00 00 00 00  # padding
      64 00        # "d"
    `),
    calls: [
      [
        'create',
        CALLER,
        NODE,
        'd',
        { kind: 'node', mode: 0o60660, umask: 0o22, major: 0x123, minor: 0x45678 },
      ],
    ],
    answers: { create: () => ENTRY },
    reply: ENTRY_BYTES,
  },
  {
    what: 'TMPFILE',
    opcode: Opcode.TMPFILE,
    body: hex(`
      02 80 41 00  # flags O_RDWR | O_TMPFILE | O_LARGEFILE
      a4 81 00 00  # mode 0100644
      12 00 00 00  # umask 022
      00 00 00 00  # open_flags
      2f 00        # "/"
    `),
    calls: [['tmpfile', CALLER, NODE, 0o100644, 0o22]],
    answers: { tmpfile: () => ENTRY },
    reply: Buffer.concat([ENTRY_BYTES, Buffer.alloc(16)]),
  },
  {
    what: 'MKDIR',
    opcode: Opcode.MKDIR,
    body: hex(`
      ed 43 00 00  # mode 041755
      3f 00 00 00  # umask 077
      64 00        # "d"
    `),
    calls: [['create', CALLER, NODE, 'd', { kind: 'directory', mode: 0o41755, umask: 0o77 }]],
    answers: { create: () => ENTRY },
    reply: ENTRY_BYTES,
  },
  {
    what: 'UNLINK',
    opcode: Opcode.UNLINK,
    body: hex('66 00'),
    calls: [['unlink', NODE, 'f']],
    answers: { unlink: () => {} },
    reply: EMPTY,
  },
  {
    what: 'RMDIR',
    opcode: Opcode.RMDIR,
    body: hex('64 00'),
    calls: [['rmdir', NODE, 'd']],
    answers: { rmdir: () => {} },
    reply: EMPTY,
  },
  {
    what: 'RENAME',
    opcode: Opcode.RENAME,
    body: hex(`
      08 00 00 00 00 00 00 00  # newdir
      61 00 62 62 00           # "a", "bb"
    `),
    calls: [['rename', NODE, 'a', 8, 'bb', 0]],
    answers: { rename: () => {} },
    reply: EMPTY,
  },
  {
    what: 'RENAME2',
    opcode: Opcode.RENAME2,
    body: hex(`
      08 00 00 00 00 00 00 00  # newdir
      02 00 00 00              # flags RENAME_EXCHANGE
      aa aa aa aa              # padding
      61 00 62 62 00           # "a", "bb"
    `),
    calls: [['rename', NODE, 'a', 8, 'bb', 2]],
    answers: { rename: () => {} },
    reply: EMPTY,
  },
  {
    what: 'LINK',
    opcode: Opcode.LINK,
    body: hex(`
      08 00 00 00 00 00 00 00  # oldnodeid
      6c 00                    # "l"
    `),
    calls: [['link', 8, NODE, 'l']],
    answers: { link: () => ENTRY },
    reply: ENTRY_BYTES,
  },
  {
    what: 'READ',
    opcode: Opcode.READ,
    body: read('04 00 00 00'),
    needs: READ_NEEDS,
    calls: [['read', NODE, READ_OFFSET, '4 bytes of room']],
    answers: {
      read: (_node, _offset, into) => {
        into.set(text('abc'));
        return 3;
      },
    },
    reply: text('abc'),
  },
  {
    what: 'WRITE that drops set-id bits',
    opcode: Opcode.WRITE,
    body: hex(`
      bb bb bb bb bb bb bb bb  # fh
      00 00 00 00 01 00 00 00  # offset 0x100000000
      03 00 00 00              # size
      05 00 00 00              # write_flags: WRITE_CACHE, WRITE_KILL_SUIDGID
      cc cc cc cc cc cc cc cc  # lock_owner
      01 80 00 00              # flags
      00 00 00 00              # padding
      61 62 63                 # "abc"
    `),
    calls: [['write', CALLER, NODE, 0x100000000, text('abc'), true]],
    answers: { write: () => 2 },
    reply: hex('02 00 00 00 00 00 00 00 # size, padding'),
  },
  {
    what: 'WRITE that keeps them',
    opcode: Opcode.WRITE,
    body: hex(`
      bb bb bb bb bb bb bb bb  # fh
      00 00 00 00 00 00 00 00  # offset
      00 00 00 00              # size 0
      03 00 00 00              # write_flags: WRITE_CACHE, WRITE_LOCKOWNER
      cc cc cc cc cc cc cc cc  # lock_owner
      01 80 00 00              # flags
      00 00 00 00              # padding
    `),
    calls: [['write', CALLER, NODE, 0, EMPTY, false]],
    answers: { write: () => 0 },
    reply: hex('00 00 00 00 00 00 00 00 # size, padding'),
  },
  {
    what: 'STATFS',
    opcode: Opcode.STATFS,
    body: EMPTY,
    calls: [['statfs']],
    answers: {
      statfs: () => ({
        type: 0xef53,
        blocks: 0x100000001,
        bfree: 2,
        bavail: 3,
        files: 4,
        ffree: 5,
        bsize: 6,
        namelen: 255,
        frsize: 7,
      }),
    },
    reply: hex(`
        01 00 00 00 01 00 00 00  # blocks
        02 00 00 00 00 00 00 00  # bfree
        03 00 00 00 00 00 00 00  # bavail
        04 00 00 00 00 00 00 00  # files
        05 00 00 00 00 00 00 00  # ffree
        06 00 00 00              # bsize
        ff 00 00 00              # namelen
        07 00 00 00              # frsize
        00 00 00 00              # padding
        ${'00 00 00 00 '.repeat(6)} # spare
      `),
  },
  ...(['FSYNC', 'FSYNCDIR'] as const).flatMap((name) =>
    [false, true].map(
      (dataOnly): Example => ({
        what: `${name}${dataOnly ? ' of data only' : ''}`,
        opcode: Opcode[name],
        body: hex(
          `bb bb bb bb bb bb bb bb ${dataOnly ? '01' : '00'} 00 00 00 00 00 00 00 # fh, fsync_flags, padding`,
        ),
        needs: 12,
        calls: [['unflushed', NODE]],
        answers: { unflushed: () => undefined },
        reply: EMPTY,
      }),
    ),
  ),
  {
    what: 'SETXATTR of an ACL that drops the set-group-id bit',
    opcode: Opcode.SETXATTR,
    body: hex(`
      02 00 00 00     # size
      01 00 00 00     # flags XATTR_CREATE
      01 00 00 00     # setxattr_flags ACL_KILL_SGID
      00 00 00 00     # padding
      75 2e 61 00     # "u.a"
      00 ff           # value
    `),
    calls: [['setxattr', NODE, 'u.a', hex('00 ff'), 1, true]],
    answers: { setxattr: () => {} },
    reply: EMPTY,
  },
  {
    what: 'SETXATTR of a kernel without SETXATTR_EXT',
    opcode: Opcode.SETXATTR,
    body: hex(`
      02 00 00 00     # size
      02 00 00 00     # flags XATTR_REPLACE
      75 2e 61 00     # "u.a"
      00 ff           # value
    `),
    old: true,
    calls: [['setxattr', NODE, 'u.a', hex('00 ff'), 2, false]],
    answers: { setxattr: () => {} },
    reply: EMPTY,
  },
  ...getxattr('GETXATTR of the length', '00 00 00 00', text('value'), hex('05 00 00 00 00 00 00 00')),
  ...getxattr('GETXATTR into a buffer of just the size', '05 00 00 00', text('value'), text('value')),
  ...getxattr('GETXATTR into a buffer that is too small', '04 00 00 00', text('value'), EMPTY, 'ERANGE'),
  ...getxattr('GETXATTR of an attribute that is not there', '05 00 00 00', undefined, EMPTY, 'ENODATA'),
  ...getxattr('GETXATTR of an empty value', '05 00 00 00', EMPTY, EMPTY),
  ...listxattr('LISTXATTR of the length', '00 00 00 00', ['u.a', 'u.\xe4'], hex('08 00 00 00 00 00 00 00')),
  ...listxattr('LISTXATTR', '08 00 00 00', ['u.a', 'u.\xe4'], text('u.a\0u.\xe4\0')),
  ...listxattr(
    'LISTXATTR into a buffer that is too small',
    '07 00 00 00',
    ['u.a', 'u.\xe4'],
    EMPTY,
    'ERANGE',
  ),
  ...listxattr('LISTXATTR of nothing', '08 00 00 00', [], EMPTY),
  {
    what: 'REMOVEXATTR',
    opcode: Opcode.REMOVEXATTR,
    body: hex('75 2e 61 00'),
    calls: [['removexattr', NODE, 'u.a']],
    answers: { removexattr: () => {} },
    reply: EMPTY,
  },
  {
    what: 'READDIR',
    opcode: Opcode.READDIR,
    body: read(DIRENTS_SIZE),
    needs: READ_NEEDS,
    calls: [['readdir', NODE, READ_OFFSET, 'sink']],
    answers: {
      readdir: (_node, _cookie, sink) => {
        sink.add('.', 7, 0o040000, 1);
        sink.add('n\xe4me-of-9', 0x8000000000000000n, 0o120000, 0x100000002);
      },
    },
    reply: hex(`
        07 00 00 00 00 00 00 00  # ino
        01 00 00 00 00 00 00 00  # off
        01 00 00 00              # namelen
        04 00 00 00              # type DT_DIR
        2e 00 00 00 00 00 00 00  # "." padded to 8
        00 00 00 00 00 00 00 80  # ino
        02 00 00 00 01 00 00 00  # off
        09 00 00 00              # namelen
        0a 00 00 00              # type DT_LNK
        6e e4 6d 65 2d 6f 66 2d  # "n\\xe4me-of-"
        39 00 00 00 00 00 00 00  # "9"
      `),
  },
  {
    what: 'READDIRPLUS',
    opcode: Opcode.READDIRPLUS,
    body: read('00 02 00 00'),
    needs: READ_NEEDS,
    calls: [['readdirplus', NODE, READ_OFFSET, 'sink']],
    answers: {
      readdirplus: (_node, _cookie, sink) => {
        sink.add('.', 7, 0o040000, 1, undefined);
        sink.add('f', 8, 0o100000, 3, () => ENTRY);
      },
    },
    reply: Buffer.concat([
      hex(`
          ${'00 '.repeat(128)}     # fuse_entry_out: node 0, the kernel takes the name only
          07 00 00 00 00 00 00 00  # ino
          01 00 00 00 00 00 00 00  # off
          01 00 00 00 04 00 00 00  # namelen, type DT_DIR
          2e 00 00 00 00 00 00 00  # "."
        `),
      ENTRY_BYTES,
      hex(`
          11 22 33 44 55 66 77 88  # ino: the entry's
          03 00 00 00 00 00 00 00  # off
          01 00 00 00 08 00 00 00  # namelen, type DT_REG
          66 00 00 00 00 00 00 00  # "f"
        `),
    ]),
  },
  {
    what: 'FALLOCATE',
    opcode: Opcode.FALLOCATE,
    body: hex(`
      bb bb bb bb bb bb bb bb  # fh
      00 10 00 00 00 00 00 00  # offset 4096
      00 00 00 00 01 00 00 00  # length 0x100000000
      03 00 00 00              # mode PUNCH_HOLE, KEEP_SIZE
      00 00 00 00              # padding
    `),
    needs: 28,
    calls: [['fallocate', CALLER, NODE, 3, 4096, 0x100000000]],
    answers: { fallocate: () => {} },
    reply: EMPTY,
  },
  {
    what: 'LSEEK',
    opcode: Opcode.LSEEK,
    body: hex(`
      bb bb bb bb bb bb bb bb  # fh
      00 00 00 00 01 00 00 00  # offset 0x100000000
      04 00 00 00              # whence SEEK_HOLE
      00 00 00 00              # padding
    `),
    needs: 20,
    calls: [['lseek', NODE, 0x100000000, 4]],
    answers: { lseek: () => 0x100001000 },
    reply: hex('00 10 00 00 01 00 00 00 # offset'),
  },
  {
    what: 'IOCTL that reads flags (lsattr)',
    opcode: Opcode.IOCTL,
    body: ioctl('01 66 08 80', '00 00 00 00', '08 00 00 00', ''),
    needs: IOCTL_HEADER,
    calls: [['ioctl', NODE, 0x80086601, Buffer.alloc(8)]],
    answers: { ioctl: (_node, _command, argument) => (argument as Buffer).fill(0x10) },
    reply: hex(`
      00 00 00 00              # result
      00 00 00 00              # flags
      00 00 00 00 00 00 00 00  # in_iovs, out_iovs
      10 10 10 10 10 10 10 10  # what was asked for
    `),
  },
  {
    what: 'IOCTL that sets flags (chattr)',
    opcode: Opcode.IOCTL,
    body: ioctl('02 66 08 40', '08 00 00 00', '00 00 00 00', '20 00 00 00 00 00 00 00'),
    needs: IOCTL_HEADER + 8,
    calls: [['ioctl', NODE, 0x40086602, Buffer.from([0x20, 0, 0, 0, 0, 0, 0, 0])]],
    answers: { ioctl: () => undefined },
    reply: hex('00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00'),
  },
  {
    what: 'COPY_FILE_RANGE',
    opcode: Opcode.COPY_FILE_RANGE,
    body: copyFileRange('00 00 01 00 00 00 00 00'),
    needs: COPY_NEEDS,
    calls: [copyCall(65536)],
    answers: { copyFileRange: () => 4096 },
    reply: hex('00 10 00 00 00 00 00 00 # struct fuse_write_out: size, padding'),
  },
  {
    what: 'COPY_FILE_RANGE_64, of which a part is done so that others need not wait',
    opcode: Opcode.COPY_FILE_RANGE_64,
    body: copyFileRange('ff ff ff ff ff ff ff ff'),
    needs: COPY_NEEDS,
    calls: [copyCall(64 * 1024 * 1024)],
    answers: { copyFileRange: () => 0x100000000 },
    reply: hex('00 00 00 00 01 00 00 00 # bytes_copied'),
  },
  ...(['INTERRUPT', 'NOTIFY_REPLY'] as const).map(
    (name): Example => ({
      what: name,
      opcode: Opcode[name],
      body: hex('02 00 00 00 00 00 00 00 # unique of the interrupted request'),
      needs: 0,
      calls: [],
      reply: 'none',
    }),
  ),
  ...(['RELEASE', 'RELEASEDIR', 'DESTROY'] as const).map(
    (name): Example => ({
      what: `${name}, which has nothing to do`,
      opcode: Opcode[name],
      body: Buffer.alloc(name === 'DESTROY' ? 0 : 24),
      needs: 0,
      calls: [],
      reply: EMPTY,
    }),
  ),
  ...refused('ENOSYS', 'opens cost no message', ['OPEN', 'OPENDIR', 'CREATE', 'FLUSH']),
  ...refused('ENOSYS', "locks are the kernel's own", ['GETLK', 'SETLK', 'SETLKW']),
  ...refused('ENOSYS', 'the kernel checks access', ['ACCESS']),
  ...refused('ENOSYS', 'not served', ['BMAP', 'POLL', 'SETUPMAPPING', 'REMOVEMAPPING', 'SYNCFS', 'STATX']),
  ...refused('EIO', 'a second one on a live connection', ['INIT']),
];

/** struct fuse_ioctl_in and what follows it. */
function ioctl(command: string, inSize: string, outSize: string, data: string): Buffer {
  return hex(`
    bb bb bb bb bb bb bb bb  # fh
    00 00 00 00              # flags
    ${command}               # cmd
    cc cc cc cc cc cc cc cc  # arg
    ${inSize}                # in_size
    ${outSize}               # out_size
    ${data}
  `);
}

function getxattr(
  what: string,
  size: string,
  value: Buffer | undefined,
  reply: Buffer,
  error?: Example['error'],
): Example[] {
  return [
    {
      what,
      opcode: Opcode.GETXATTR,
      body: hex(`
        ${size}      # size
        00 00 00 00  # padding
        75 2e 61 00  # "u.a"
      `),
      calls: [['getxattr', NODE, 'u.a']],
      answers: { getxattr: () => value },
      reply,
      ...(error !== undefined && { error }),
    },
  ];
}

function listxattr(
  what: string,
  size: string,
  names: string[],
  reply: Buffer,
  error?: Example['error'],
): Example[] {
  return [
    {
      what,
      opcode: Opcode.LISTXATTR,
      body: hex(`${size} 00 00 00 00 # size, padding`),
      calls: [['listxattr', CALLER, NODE]],
      answers: { listxattr: () => names },
      reply,
      ...(error !== undefined && { error }),
    },
  ];
}

function refused(
  error: NonNullable<Example['error']>,
  why: string,
  names: readonly (keyof typeof Opcode)[],
): Example[] {
  return names.map((name) => ({
    what: `${name}: ${why}`,
    opcode: Opcode[name],
    body: Buffer.alloc(16),
    needs: 0,
    calls: [],
    reply: EMPTY,
    error,
  }));
}
