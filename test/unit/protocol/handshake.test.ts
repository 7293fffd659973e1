/**
 * Protects what is agreed with the kernel. Some flags would corrupt data silently: ATOMIC_O_TRUNC when opens cost no
 * message, POSIX_LOCKS and FLOCK_LOCKS when nobody keeps locks, PASSTHROUGH when opens are not seen, ASYNC_DIO when data
 * is cached too.
 */
import { assert } from 'chai';
import { InitFlag, type InitFlagName } from '../../../fs/protocol/abi.js';
import { Cursor } from '../../../fs/protocol/decode.js';
import {
  decodeInit,
  encodeInit,
  type InitIn,
  type Negotiation,
  negotiate,
  type Wishes,
} from '../../../fs/protocol/handshake.js';
import { dump, hex } from '../../support/protocol/bytes.js';
import { HEADER_LENGTH, INIT_5_4, INIT_6_2, INIT_6_18 } from '../../support/protocol/init-bytes.js';
import { Random } from '../../support/random.js';

const SEED = 7;
const DRAWN = 500;
const PLAIN: Wishes = {
  writeback: false,
  invalidation: 'explicit',
  acl: true,
  maxWrite: 1024 * 1024,
  pageSize: 4096,
};
const EVERY_WISH: readonly Wishes[] = [false, true].flatMap((writeback) =>
  (['explicit', 'by-mtime'] as const).map((invalidation) => ({ ...PLAIN, writeback, invalidation })),
);
const NEVER: readonly InitFlagName[] = [
  'ATOMIC_O_TRUNC',
  'POSIX_LOCKS',
  'FLOCK_LOCKS',
  'PASSTHROUGH',
  'ASYNC_DIO',
];
const EVERY_FLAG = Object.keys(InitFlag) as InitFlagName[];

function decode(message: Buffer): InitIn {
  const cursor = new Cursor(message).reset(message.length);
  cursor.skip(HEADER_LENGTH);
  return decodeInit(cursor);
}

function agreed(init: InitIn, wishes: Wishes): Extract<Negotiation, { outcome: 'agreed' }>['connection'] {
  const result = negotiate(init, wishes);
  if (result.outcome !== 'agreed') throw new Error(result.outcome);
  return result.connection;
}

/** What is taken of every kernel's offer, and in addition of newer ones'. */
const SINCE_5_4 = `ASYNC_READ BIG_WRITES DONT_MASK DO_READDIRPLUS READDIRPLUS_AUTO NO_OPEN_SUPPORT
  PARALLEL_DIROPS POSIX_ACL ABORT_ERROR MAX_PAGES CACHE_SYMLINKS NO_OPENDIR_SUPPORT EXPLICIT_INVAL_DATA`.split(
  /\s+/,
);
const SINCE_6_2 = [...SINCE_5_4, 'HANDLE_KILLPRIV_V2', 'SETXATTR_EXT', 'INIT_EXT'];
const SINCE_6_18 = [...SINCE_6_2, 'CREATE_SUPP_GROUP', 'HAS_EXPIRE_ONLY', 'NO_EXPORT_SUPPORT', 'HAS_RESEND'];

const KERNELS = [
  {
    kernel: 'Linux 5.4 (7.31)',
    message: INIT_5_4,
    taken: SINCE_5_4,
    out: `
      07 00 00 00              # major
      1f 00 00 00              # minor 31
      00 00 02 00              # max_readahead 128 KiB
      61 60 f6 03              # flags
      40 00                    # max_background 64
      30 00                    # congestion_threshold 48
      00 00 10 00              # max_write 1 MiB
      01 00 00 00              # time_gran 1 ns
      00 01                    # max_pages 256
      00 00                    # map_alignment
      00 00 00 00              # flags2
      00 00 00 00              # max_stack_depth, or unused
      00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    `,
  },
  {
    kernel: 'Linux 6.2 (7.38)',
    message: INIT_6_2,
    taken: SINCE_6_2,
    out: `
      07 00 00 00              # major
      26 00 00 00              # minor 38
      00 00 02 00              # max_readahead 128 KiB
      61 60 f6 73              # flags
      40 00                    # max_background 64
      30 00                    # congestion_threshold 48
      00 00 10 00              # max_write 1 MiB
      01 00 00 00              # time_gran 1 ns
      00 01                    # max_pages 256
      00 00                    # map_alignment
      00 00 00 00              # flags2
      00 00 00 00              # max_stack_depth, or unused
      00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    `,
  },
  {
    kernel: 'Linux 6.18 (7.45)',
    message: INIT_6_18,
    taken: SINCE_6_18,
    out: `
      07 00 00 00              # major
      2d 00 00 00              # minor 45
      00 00 02 00              # max_readahead 128 KiB
      61 60 f6 73              # flags
      40 00                    # max_background 64
      30 00                    # congestion_threshold 48
      00 00 10 00              # max_write 1 MiB
      01 00 00 00              # time_gran 1 ns
      00 01                    # max_pages 256
      00 00                    # map_alignment
      cc 00 00 00              # flags2: bits 34, 35, 38, 39
      00 00 00 00              # max_stack_depth: no passthrough
      00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    `,
  },
];

describe('protocol/handshake', () => {
  for (const { kernel, message, taken, out } of KERNELS) {
    it(`agrees with ${kernel} on exactly these flags`, () => {
      assert.sameMembers([...agreed(decode(message), PLAIN).flags], taken);
    });

    it(`answers ${kernel} with exactly these bytes`, () => {
      assert.strictEqual(dump(encodeInit(agreed(decode(message), PLAIN))), dump(hex(out)));
    });

    it(`takes the writeback cache of ${kernel} only when asked to`, () => {
      for (const wishes of EVERY_WISH) {
        assert.strictEqual(agreed(decode(message), wishes).flags.has('WRITEBACK_CACHE'), wishes.writeback);
      }
    });

    it(`has ${kernel} invalidate data in exactly one way`, () => {
      for (const wishes of EVERY_WISH) {
        const { flags } = agreed(decode(message), wishes);
        assert.strictEqual(flags.has('EXPLICIT_INVAL_DATA'), wishes.invalidation === 'explicit');
        assert.strictEqual(flags.has('AUTO_INVAL_DATA'), wishes.invalidation === 'by-mtime');
      }
    });
  }

  it('reads the version, the read-ahead and the flags of both words', () => {
    const { major, minor, maxReadahead, flags } = decode(INIT_6_18);
    assert.deepEqual({ major, minor, maxReadahead }, { major: 7, minor: 45, maxReadahead: 131072 });
    assert.includeMembers(
      [...flags],
      ['ASYNC_READ', 'INIT_EXT', 'CREATE_SUPP_GROUP', 'PASSTHROUGH', 'HAS_RESEND'],
    );
  });

  it('does not read a second word of flags that the kernel does not announce', () => {
    const message = Buffer.from(INIT_6_18);
    message.writeUInt32LE(message.readUInt32LE(HEADER_LENGTH + 12) & ~(1 << 30), HEADER_LENGTH + 12);
    assert.notIncludeMembers([...decode(message).flags], ['HAS_RESEND']);
  });

  it('never takes what would corrupt data, and nothing that is not offered', () => {
    const random = new Random(SEED);
    for (let drawn = 0; drawn < DRAWN; drawn++) {
      const offered = new Set(drawn === 0 ? EVERY_FLAG : EVERY_FLAG.filter(() => random.below(2) === 0));
      const init = { major: 7, minor: 31 + random.below(40), maxReadahead: 4096, flags: offered };
      for (const wishes of EVERY_WISH) {
        const { flags } = agreed(init, wishes);
        assert.isEmpty([...flags].filter((flag) => !offered.has(flag)));
        assert.isEmpty(NEVER.filter((flag) => flags.has(flag)));
      }
    }
  });

  it('counts the largest request in pages of the machine', () => {
    const MAX_PAGES_OFFSET = 28;
    const pages = [4096, 16384, 65536].map((pageSize) =>
      encodeInit(agreed(decode(INIT_6_18), { ...PLAIN, pageSize })).readUInt16LE(MAX_PAGES_OFFSET),
    );
    assert.deepEqual(pages, [256, 64, 16]);
  });

  it('speaks the older of the two minor versions', () => {
    const minor = (offered: number) => agreed({ ...decode(INIT_6_18), minor: offered }, PLAIN).minor;
    assert.deepEqual([31, 38, 45, 46, 99].map(minor), [31, 38, 45, 45, 45]);
  });

  const OLD = [
    { major: 7, minor: 30, shown: '7.30' },
    { major: 7, minor: 8, shown: '7.8' },
    { major: 6, minor: 40, shown: '6.40' },
  ];
  for (const { major, minor, shown } of OLD) {
    it(`refuses FUSE ${shown} and says which kernel is needed`, () => {
      const result = negotiate({ ...decode(INIT_5_4), major, minor }, PLAIN);
      if (result.outcome !== 'refused') throw new Error(result.outcome);
      assert.strictEqual(
        result.reason,
        `unsupported FUSE version ${shown} of the kernel; Linux 5.4 (FUSE 7.31) or later is needed`,
      );
    });
  }

  it('asks a kernel with a newer major version again, naming its own', () => {
    assert.deepEqual(negotiate({ ...decode(INIT_6_18), major: 8, minor: 0 }, PLAIN), { outcome: 'retry' });
    assert.strictEqual(
      dump(encodeInit(undefined)),
      dump(Buffer.concat([hex('07 00 00 00'), Buffer.alloc(60)])),
    );
  });
});
