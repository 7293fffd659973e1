/**
 * Protects the bytes of replies: the header, 64-bit numbers of any size, and directory entries that end with the
 * caller's space. The structs of each operation are in `requests.ts`.
 */
import { assert } from 'chai';
import { Reply } from '../../../fs/protocol/encode.js';
import { dump, hex } from '../../support/protocol/bytes.js';
import { ENTRY, ENTRY_BYTES } from '../../support/protocol/requests.js';

const SIZE = 4096;
const HEADER = 16;

function body(fill: (reply: Reply) => void, size = SIZE): Buffer {
  const reply = new Reply(size);
  reply.begin();
  fill(reply);
  return Buffer.from(reply.buffer.subarray(HEADER, reply.finish(0, 0, 0)));
}

describe('protocol/encode: the header', () => {
  const HEADERS: readonly [string, number, string][] = [
    ['success', 0, '14 00 00 00  00 00 00 00  78 56 34 12 f0 de bc 9a'],
    ['an error, without the body', 2, '10 00 00 00  fe ff ff ff  78 56 34 12 f0 de bc 9a'],
  ];
  for (const [what, error, expected] of HEADERS) {
    it(`tells ${what}`, () => {
      const reply = new Reply(SIZE);
      reply.begin();
      reply.u32(1);
      const length = reply.finish(0x12345678, 0x9abcdef0, error);
      assert.strictEqual(length, error === 0 ? HEADER + 4 : HEADER);
      assert.strictEqual(dump(reply.buffer.subarray(0, HEADER)), dump(hex(expected)));
    });
  }

  it('begins each reply anew', () => {
    const reply = new Reply(SIZE);
    reply.begin();
    reply.entry(ENTRY);
    reply.begin();
    assert.isEmpty(reply.handedOut);
    assert.strictEqual(reply.finish(0, 0, 0), HEADER);
  });
});

describe('protocol/encode: numbers', () => {
  const NUMBERS: readonly [number | bigint, string][] = [
    [0, '00 00 00 00 00 00 00 00'],
    [0xffffffff, 'ff ff ff ff 00 00 00 00'],
    [2 ** 32, '00 00 00 00 01 00 00 00'],
    [2 ** 53 - 1, 'ff ff ff ff ff ff 1f 00'],
    [2n ** 53n, '00 00 00 00 00 00 20 00'],
    [2n ** 64n - 1n, 'ff ff ff ff ff ff ff ff'],
    [-1, 'ff ff ff ff ff ff ff ff'],
    [-(2 ** 32), '00 00 00 00 ff ff ff ff'],
    [-(2 ** 32) - 5, 'fb ff ff ff fe ff ff ff'],
  ];
  for (const [value, expected] of NUMBERS) {
    it(`writes ${value} in 64 bits`, () => {
      assert.strictEqual(dump(body((reply) => reply.u64(value))), dump(hex(expected)));
    });
  }
});

describe('protocol/encode: lookups that a reply counts', () => {
  it('are those of entries, not of absent names, nor of names without an entry', () => {
    const reply = new Reply(SIZE);
    reply.begin();
    reply.limit(SIZE);
    reply.entry(ENTRY);
    reply.negativeEntry(1);
    reply.direntPlus('.', 1, 0o040000, 1, undefined);
    reply.direntPlus('f', 1, 0o100000, 3, ENTRY);
    assert.deepEqual(reply.handedOut, [ENTRY.nodeid, ENTRY.nodeid]);
  });
});

describe('protocol/encode: directory entries', () => {
  /** Sizes of struct fuse_dirent with names of these lengths. */
  const SIZES: readonly [length: number, size: number][] = [
    [1, 32],
    [7, 32],
    [8, 32],
    [9, 40],
    [255, 280],
  ];
  for (const [length, size] of SIZES) {
    const name = '\xff'.repeat(length);
    it(`a name of ${length} bytes takes ${size} bytes, and fits into just these`, () => {
      const tried = (space: number): number =>
        body((reply) => {
          reply.limit(space);
          assert.strictEqual(reply.dirent(name, 1, 0o100000, 3), space >= size);
        }).length;
      assert.deepEqual([size - 1, size, size + 1].map(tried), [0, size, size]);
    });

    it(`a name of ${length} bytes with an entry takes ${size + ENTRY_BYTES.length} bytes`, () => {
      const whole = size + ENTRY_BYTES.length;
      const fits = (space: number): boolean => {
        const reply = new Reply(SIZE);
        reply.begin();
        reply.limit(space);
        return reply.hasRoomForPlus(name);
      };
      assert.deepEqual([whole - 1, whole].map(fits), [false, true]);
      assert.lengthOf(
        body((reply) => reply.direntPlus(name, 1, 0o100000, 3, ENTRY)),
        whole,
      );
    });
  }

  it('leave no bytes of earlier replies in their padding', () => {
    const reply = new Reply(SIZE);
    reply.buffer.fill(0xff);
    reply.begin();
    reply.limit(SIZE);
    reply.dirent('a', 1, 0o100000, 3);
    reply.direntPlus('b', 1, 0o100000, 4, undefined);
    const written = reply.buffer.subarray(HEADER, reply.finish(0, 0, 0));
    assert.notInclude(dump(written), 'ff');
  });

  it('never exceed the reply, whatever space the caller claims', () => {
    const filled = body((reply) => {
      reply.limit(0xffffffff);
      while (reply.dirent('name', 1, 0o100000, 3));
    }, 256);
    assert.strictEqual(filled.length, 256 - HEADER - ((256 - HEADER) % 32));
  });
});
