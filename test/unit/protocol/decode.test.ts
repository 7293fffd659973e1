/**
 * Protects the cursor's bound: no read reaches beyond the current message, whatever an earlier one left in the
 * buffer, and what does not fit is `Malformed`, the one error that the session expects of it.
 */
import { assert } from 'chai';
import { Cursor, decodeDevice, decodeHeader, Malformed } from '../../../fs/protocol/decode.js';
import { Errno } from '../../../fs/sys/errno.js';
import { hex, request } from '../../support/protocol/bytes.js';

const BYTES = hex(`
  01 02 03 04 05 06 07 08  # numbers
  61 e4 00                 # "a\\xe4"
  62                       # a name without an end
`);
const NUMBERS = 8;

const at = (start: number, length: number): Cursor => {
  const cursor = new Cursor(Buffer.concat([BYTES, Buffer.alloc(16)])).reset(length);
  cursor.skip(start);
  return cursor;
};

describe('protocol/decode: the cursor', () => {
  const READS: readonly [string, number, (cursor: Cursor) => unknown, unknown][] = [
    ['u16', 2, (cursor) => cursor.u16(), 0x0201],
    ['u32', 4, (cursor) => cursor.u32(), 0x04030201],
    ['u64', 8, (cursor) => cursor.u64(), Number(0x0807060504030201n)],
    ['offset', 8, (cursor) => cursor.offset(), Number.MAX_SAFE_INTEGER],
    ['secondsAt', 8, (cursor) => cursor.secondsAt(cursor.take(8)), Number(0x0807060504030201n)],
    ['skip', 8, (cursor) => cursor.skip(8), undefined],
    ['data', 3, (cursor) => cursor.data(3), hex('01 02 03')],
  ];
  for (const [name, size, read, value] of READS) {
    it(`${name} takes ${size} bytes, and no fewer`, () => {
      assert.deepEqual(read(at(0, size)), value);
      for (let length = 0; length < size; length++) assert.throws(() => read(at(0, length)), Malformed);
    });
  }

  it('name ends at its NUL, which must be within the message', () => {
    assert.strictEqual(at(NUMBERS, NUMBERS + 3).name(), 'a\xe4');
    assert.strictEqual(at(NUMBERS + 2, NUMBERS + 3).name(), '');
    for (const length of [0, 1, 2]) assert.throws(() => at(NUMBERS, NUMBERS + length).name(), Malformed);
    assert.throws(() => at(NUMBERS + 3, BYTES.length).name(), Malformed);
  });

  it('goes on behind what it has read', () => {
    const cursor = at(0, NUMBERS + 3);
    assert.deepEqual(
      [cursor.u32(), cursor.u16(), cursor.u16(), cursor.name()],
      [0x04030201, 0x0605, 0x0807, 'a\xe4'],
    );
    assert.throws(() => cursor.name(), Malformed);
  });

  it('starts over with the next message', () => {
    const cursor = at(4, 8);
    assert.strictEqual(cursor.reset(2).u16(), 0x0201);
    assert.throws(() => cursor.u16(), Malformed);
  });

  it('takes seconds as signed and clamps offsets to what is exact', () => {
    const cursor = new Cursor(
      hex('ff ff ff ff ff ff ff ff  ff ff ff ff ff ff ff 7f  ff ff ff ff ff ff 1f 00'),
    ).reset(24);
    assert.deepEqual(
      [cursor.secondsAt(cursor.take(8)), cursor.offset(), cursor.offset()],
      [-1, 2 ** 53 - 1, 2 ** 53 - 1],
    );
  });
});

describe('protocol/decode: places to write at', () => {
  const PLACES: readonly [string, number | undefined][] = [
    ['00 00 00 00 01 00 00 00', 2 ** 32],
    ['ff ff ff ff ff ff 1f 00', 2 ** 53 - 1],
    ['00 00 00 00 00 00 20 00', undefined],
    ['ff ff ff ff ff ff ff 7f', undefined],
  ];
  for (const [bytes, value] of PLACES) {
    it(`${bytes} is ${value ?? 'refused: data would land elsewhere'}`, () => {
      const cursor = new Cursor(hex(bytes)).reset(8);
      if (value === undefined) assert.throws(() => cursor.place(), Errno, 'EFBIG');
      else assert.strictEqual(cursor.place(), value);
    });
  }
});

describe('protocol/decode: header and device numbers', () => {
  it('reads every field of struct fuse_in_header', () => {
    const message = request(0x1234, Buffer.alloc(0));
    assert.deepEqual(decodeHeader(new Cursor(message).reset(message.length)), {
      opcode: 0x1234,
      uniqueLow: 0xaabbccdd,
      uniqueHigh: 0x11223344,
      node: 7 as ReturnType<typeof decodeHeader>['node'],
      uid: 1000,
      gid: 1001,
      pid: 1234,
    });
  });

  const DEVICES: readonly [encoded: number, major: number, minor: number][] = [
    [0x00000000, 0, 0],
    [0x00000103, 1, 3],
    [0x00000801, 8, 1],
    [0x000fffff, 0xfff, 0xff],
    [0xfff000ff, 0, 0xfffff],
    [0xffffffff, 0xfff, 0xfffff],
  ];
  for (const [encoded, major, minor] of DEVICES) {
    it(`reads the device 0x${encoded.toString(16)} as ${major}:${minor}`, () => {
      assert.deepEqual(decodeDevice(encoded), { major, minor });
    });
  }
});
