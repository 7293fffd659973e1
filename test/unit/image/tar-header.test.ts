/**
 * Protects the reading of tar headers: numbers are exact or refused, text is bytes, a prefix counts only where the format
 * has one, and a header whose checksum is wrong is none. GNU tar is the oracle for the forms that it writes.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { assert } from 'chai';
import fc from 'fast-check';
import {
  decodeHeader,
  decodePax,
  isZeroBlock,
  numberAt,
  TarError,
  type TarHeader,
} from '../../../runtime/image/tar/tar-header.js';
import { base256, type Fields, GNU, header, USTAR } from '../../support/image/archive.js';
import { useScratch } from '../../support/image/scratch.js';

const BLOCK = 512;
const decode = (fields: Partial<Fields>): TarHeader => decodeHeader(header({ name: 'n', ...fields }));

describe('tar headers', () => {
  const scratch = useScratch();

  it('have all fields, each as wide as the format has it', () => {
    const full = 'l'.repeat(100);
    assert.deepEqual(
      decode({
        name: 'a'.repeat(100),
        mode: 0o7777777,
        uid: 0o1234567,
        gid: 0o7654321,
        size: 0o77777777777,
        mtime: 0o12345670123,
        linkName: full,
        prefix: 'p'.repeat(155),
        major: 5,
        minor: 6,
      }),
      {
        flag: '0',
        name: `${'p'.repeat(155)}/${'a'.repeat(100)}`,
        linkName: full,
        mode: 0o7777777,
        uid: 0o1234567,
        gid: 0o7654321,
        size: 0o77777777777,
        mtime: 0o12345670123,
        major: 0,
        minor: 0,
      },
    );
  });

  for (const flag of ['0', '\0', '7', 'S', 'x', 'L']) {
    it(`of type ${JSON.stringify(flag)} have data, and no device number`, () => {
      const { size, major, minor } = decode({ flag, size: 9, major: 5, minor: 6 });
      assert.deepEqual({ size, major, minor }, { size: 9, major: 0, minor: 0 });
      assert.equal(decode({ flag }).flag, flag === '\0' ? '0' : flag);
    });
  }
  for (const flag of ['1', '2', '3', '4', '5', '6']) {
    it(`of type ${flag} have no data, whatever their size says`, () => {
      const isDevice = flag === '3' || flag === '4';
      const { size, major, minor } = decode({ flag, size: 9, major: 5, minor: 6 });
      assert.deepEqual({ size, major, minor }, { size: 0, major: isDevice ? 5 : 0, minor: isDevice ? 6 : 0 });
      assert.equal(decode({ flag, size: Buffer.from('odd') }).size, 0);
      if (!isDevice) assert.equal(decode({ flag, major: Buffer.from('odd') }).major, 0);
    });
  }

  const PREFIXES: readonly [what: string, fields: Partial<Fields>, name: string][] = [
    ['ustar', { magic: USTAR, prefix: 'p' }, 'p/n'],
    ['ustar without a prefix', { magic: USTAR }, 'n'],
    ['ustar of another version', { magic: 'ustar\x0099', prefix: 'p' }, 'p/n'],
    ['GNU', { magic: GNU, prefix: 'p' }, 'n'],
    ['v7', { magic: '', prefix: 'p' }, 'n'],
    ['another magic', { magic: 'xstar\x0000', prefix: 'p' }, 'n'],
    ['one that only has "ustar" in it', { magic: ' ustar\0', prefix: 'p' }, 'n'],
    [
      'star, up to its own fields',
      { prefix: 'p'.repeat(155), raw: [[508, 'tar\0']] },
      `${'p'.repeat(131)}/n`,
    ],
    [
      'no star without its trailer',
      { prefix: 'p'.repeat(155), raw: [[508, 'rat\0']] },
      `${'p'.repeat(155)}/n`,
    ],
  ];
  for (const [what, fields, name] of PREFIXES)
    it(`a prefix in ${what}: ${name.slice(-5)}`, () => assert.equal(decode(fields).name, name));

  it('text ends with NUL or its field, and is bytes', () => {
    assert.equal(decode({ name: 'a\0b' }).name, 'a');
    assert.equal(decode({ name: '\xff\xe9' }).name, '\xff\xe9');
    const block = header({ name: 'n'.repeat(100), linkName: 'l'.repeat(100), magic: 'ustar\x0000' });
    assert.equal(decodeHeader(block).name.length, 100);
  });

  it('with another checksum are none; that of signed bytes is right too', () => {
    const block = header({ name: '\xff\x80\x7f' });
    const sum = block.subarray(0, 148).reduce((total, byte) => total + byte, 0) + 8 * 32;
    const all = sum + block.subarray(156).reduce((total, byte) => total + byte, 0);
    for (const [checksum, isRight] of [
      [all, true],
      [all - 2 * 256, true],
      [all - 256, false],
      [all + 1, false],
      [all - 1, false],
      [0, false],
    ] as const) {
      const read = (): TarHeader => decode({ name: '\xff\x80\x7f', checksum });
      if (isRight) assert.equal(read().name, '\xff\x80\x7f');
      else assert.throws(read, TarError, 'has a header with a wrong checksum');
    }
  });

  it('count every byte but the checksum for it', () => {
    const good = header({ name: 'n' });
    for (let at = 0; at < BLOCK; at++) {
      if (at === 154 || at === 155) continue; // what ends the checksum's digits
      const block = Buffer.from(good);
      block[at] = (block[at] as number) ^ 1;
      assert.throws(() => decodeHeader(block), TarError, undefined, `${at}`);
    }
  });

  it('a negative size is refused, a negative time is not', () => {
    assert.throws(() => decode({ size: base256(-1n, 12) }), TarError, 'has the negative size -1');
    assert.equal(decode({ size: base256(0n, 12) }).size, 0);
    assert.equal(decode({ mtime: base256(-5n, 12) }).mtime, -5);
  });

  it('only zeros are a zero block', () => {
    assert.isTrue(isZeroBlock(Buffer.alloc(BLOCK)));
    const block = Buffer.alloc(BLOCK);
    block[BLOCK - 1] = 1;
    assert.isFalse(isZeroBlock(block));
  });

  describe('numbers', () => {
    const OCTAL: readonly [text: string, value: number | undefined][] = [
      ['0000017\0', 15],
      ['   17 \0\0', 15],
      ['\0\x0017\0\0\0\0', 15],
      ['17777777', 0o17777777],
      ['7 8\0\0\0\0\0', 7],
      ['7\x009\0\0\0\0\0', 7],
      ['\0\0\0\0\0\0\0\0', 0],
      ['        ', 0],
      ['8\0\0\0\0\0\0\0', undefined],
      ['7x\0\0\0\0\0\0', undefined],
      ['x7\0\0\0\0\0\0', undefined],
      ['-1\0\0\0\0\0\0', undefined],
      ['7\n7\0\0\0\0\0', undefined],
    ];
    for (const [text, value] of OCTAL) {
      it(`${JSON.stringify(text)} is ${value ?? 'refused'}`, () => {
        const block = Buffer.from(`7${text}7`, 'latin1');
        const read = (): number => numberAt(block, 1, 8, 'age');
        if (value === undefined) assert.throws(read, TarError, 'has a header whose age is not a number');
        else assert.equal(read(), value);
      });
    }

    it('in base 256 are exact', () => {
      const limit = BigInt(Number.MAX_SAFE_INTEGER);
      fc.assert(
        fc.property(fc.bigInt({ min: -limit, max: limit }), (value) => {
          assert.equal(numberAt(base256(value, 12), 0, 12, 'it'), Number(value));
        }),
      );
      for (const value of [0n, 1n, -1n, limit, -limit, 2n ** 54n - 1n, -(2n ** 54n)]) {
        if (value > limit || value < -limit) continue;
        assert.equal(numberAt(base256(value, 8), 0, 8, 'it'), Number(value));
      }
    });

    it('that no double holds are refused', () => {
      for (const value of [2n ** 53n, -(2n ** 53n), 2n ** 80n, -(2n ** 90n)])
        assert.throws(
          () => numberAt(base256(value, 12), 0, 12, 'age'),
          TarError,
          'whose age is out of range',
        );
    });
  });

  describe('PAX records', () => {
    const GOOD: readonly [bytes: string, records: Record<string, string>][] = [
      ['', {}],
      ['6 a=b\n', { a: 'b' }],
      ['5 a=\n', { a: '' }],
      ['8 a=b=c\n', { a: 'b=c' }],
      ['8 a=\n\n\n\n', { a: '\n\n\n' }],
      ['7 a=\xff\xe9\n', { a: '\xff\xe9' }],
      ['6 a=b\n6 a=c\n6 b=d\n', { a: 'c', b: 'd' }],
    ];
    for (const [bytes, records] of GOOD)
      it(`${JSON.stringify(bytes)} are read`, () =>
        assert.deepEqual<unknown>({ ...decodePax(Buffer.from(bytes, 'latin1')) }, records));

    it('of sparse format 0.0 are collected as format 0.1 writes them', () => {
      const bytes = [
        ['GNU.sparse.offset', '1'],
        ['GNU.sparse.numbytes', '2'],
        ['GNU.sparse.offset', '30'],
        ['GNU.sparse.numbytes', '4'],
      ].map(([key, value]) => {
        const rest = ` ${key}=${value}\n`;
        return `${rest.length + 2}${rest}`;
      });
      assert.deepEqual({ ...decodePax(Buffer.from(bytes.join(''))) }, { 'GNU.sparse.map': '1,2,30,4' });
    });

    it('have any names, those of objects too', () => {
      const records = decodePax(Buffer.from('15 __proto__=x\n'));
      assert.deepEqual(Object.keys(records), ['__proto__']);
    });

    const BAD = [
      'x',
      '6',
      '6a=b\n',
      '6 a=b',
      '7 a=b\n',
      '5 a=b\n',
      '6 a=bx',
      '6 a b\n',
      '3 \n6 a=b\n',
      ' 6 a=b\n',
      '+6 a=b\n',
      '6. a=b\n',
      '0x6 a=b\n',
      '6 a=b\n\0',
      '0 a=b\n',
      '-1 a=b\n',
      '2 \n',
    ];
    for (const bytes of BAD)
      it(`${JSON.stringify(bytes)} are damaged`, () =>
        assert.throws(() => decodePax(Buffer.from(bytes)), TarError, 'has damaged PAX records'));
  });

  it('are read as GNU tar writes them, in each of its formats', () => {
    const directory = scratch.fresh();
    writeFileSync(`${directory}/file`, 'content', { mode: 0o640 });
    symlinkSync('file', `${directory}/link`);
    mkdirSync(`${directory}/sub`, { mode: 0o751 });
    for (const name of ['file', 'sub']) utimesSync(`${directory}/${name}`, 1_234_567_890, 1_234_567_890);
    for (const format of ['v7', 'oldgnu', 'gnu', 'ustar']) {
      const options = [
        `--format=${format}`,
        '--numeric-owner',
        '--owner=12',
        '--group=34',
        '-C',
        directory,
        '-c',
      ];
      const bytes = execFileSync('tar', [...options, 'file', 'link', 'sub']);
      const headers = [0, 2, 3].map((at) => decodeHeader(bytes.subarray(at * BLOCK, (at + 1) * BLOCK)));
      const shared = { uid: 12, gid: 34, major: 0, minor: 0 };
      assert.deepInclude(headers[0], {
        ...shared,
        flag: '0',
        name: 'file',
        mode: 0o640,
        size: 7,
        mtime: 1_234_567_890,
      });
      assert.deepInclude(headers[1], { ...shared, flag: '2', name: 'link', linkName: 'file', size: 0 });
      assert.deepInclude(headers[2], { ...shared, flag: '5', name: 'sub/', mode: 0o751, size: 0 });
    }
  });
});
