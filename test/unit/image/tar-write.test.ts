/**
 * Protects the writing of tar: what fits a header stands there, what does not becomes a PAX record, the same entries give
 * the same bytes. GNU tar and our own reader are the oracles.
 */
import { execFileSync } from 'node:child_process';
import { Readable } from 'node:stream';
import { assert } from 'chai';
import fc from 'fast-check';
import type { TarEntry } from '../../../runtime/image/tar/tar-entry.js';
import { readTar } from '../../../runtime/image/tar/tar-read.js';
import { encodeEntry, type Item, tarStream } from '../../../runtime/image/tar/tar-write.js';
import { collect } from '../../support/image/scratch.js';

const BLOCK = 512;
const PLAIN: TarEntry = {
  type: 'file',
  name: 'name',
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtime: { seconds: 0, nanoseconds: 0 },
  size: 0,
  stored: 0,
  linkName: '',
  major: 0,
  minor: 0,
  xattrs: new Map(),
};
const entryOf = (more: Partial<TarEntry>): TarEntry => ({ ...PLAIN, ...more });

/** The records before an entry, as text. */
function recordsOf(entry: TarEntry): string {
  const bytes = encodeEntry(entry);
  return bytes.length === BLOCK
    ? ''
    : bytes.toString('latin1', BLOCK, bytes.length - BLOCK).replace(/\0*$/, '');
}

async function readBack(bytes: Buffer): Promise<{ entry: TarEntry; data: Buffer }[]> {
  const found: { entry: TarEntry; data: Buffer }[] = [];
  await readTar(Readable.from([bytes]), {
    entry: (entry) => found.push({ entry, data: Buffer.alloc(0) }),
    data: (chunk) => {
      const last = found.at(-1) ?? assert.fail();
      last.data = Buffer.concat([last.data, chunk]);
    },
    end: () => {},
  });
  return found;
}

const OCTAL_8 = 8 ** 7 - 1;
const OCTAL_12 = 8 ** 11 - 1;

describe('written tars', () => {
  const RECORDS: readonly [what: string, more: Partial<TarEntry>, records: string][] = [
    ['nothing that the header does not hold', {}, ''],
    ['a name of 100 bytes', { name: 'a'.repeat(100) }, ''],
    ['a long name that splits', { name: `${'d'.repeat(155)}/${'f'.repeat(100)}` }, ''],
    ['a long directory that splits', { name: `${'d'.repeat(10)}/${'f'.repeat(99)}/` }, ''],
    ['a long directory of one component', { name: `${'f'.repeat(100)}/` }, `111 path=${'f'.repeat(100)}/\n`],
    ['a prefix that is too long', { name: `${'d'.repeat(156)}/f` }, `168 path=${'d'.repeat(156)}/f\n`],
    [
      'a last component that is too long',
      { name: `d/${'f'.repeat(101)}` },
      `113 path=d/${'f'.repeat(101)}\n`,
    ],
    ['a name of 101 bytes without a slash', { name: 'f'.repeat(101) }, `111 path=${'f'.repeat(101)}\n`],
    [
      'a name that begins with its only slash',
      { name: `/${'f'.repeat(100)}` },
      `111 path=/${'f'.repeat(100)}\n`,
    ],
    ['a name that is not ASCII', { name: '\xff' }, '9 path=\xff\n'],
    ['a target of 100 bytes', { type: 'symlink', linkName: 't'.repeat(100) }, ''],
    [
      'a target of 101 bytes',
      { type: 'symlink', linkName: 't'.repeat(101) },
      `115 linkpath=${'t'.repeat(101)}\n`,
    ],
    ['a target that is not ASCII', { type: 'symlink', linkName: '\xe9' }, '14 linkpath=\xe9\n'],
    ['the largest ids', { uid: OCTAL_8, gid: OCTAL_8 }, ''],
    ['larger ids', { uid: OCTAL_8 + 1, gid: OCTAL_8 + 2 }, '15 gid=2097153\n15 uid=2097152\n'],
    ['the largest size', { size: OCTAL_12 }, ''],
    ['a larger size', { size: OCTAL_12 + 1 }, '19 size=8589934592\n'],
    ['the last second', { mtime: { seconds: OCTAL_12, nanoseconds: 0 } }, ''],
    ['a later time', { mtime: { seconds: OCTAL_12 + 1, nanoseconds: 0 } }, '20 mtime=8589934592\n'],
    ['half a second', { mtime: { seconds: 1, nanoseconds: 500_000_000 } }, '13 mtime=1.5\n'],
    ['a nanosecond', { mtime: { seconds: 10, nanoseconds: 1 } }, '22 mtime=10.000000001\n'],
    ['a second before 1970', { mtime: { seconds: -10, nanoseconds: 0 } }, '13 mtime=-10\n'],
    ['half a second before 1970', { mtime: { seconds: -1, nanoseconds: 500_000_000 } }, '14 mtime=-0.5\n'],
    ['a quarter before that', { mtime: { seconds: -2, nanoseconds: 250_000_000 } }, '15 mtime=-1.75\n'],
    [
      'attributes, sorted, their names escaped',
      {
        xattrs: new Map([
          ['user.b%=', Buffer.from([0xff, 0])],
          ['user.a', Buffer.from('')],
        ]),
      },
      '24 SCHILY.xattr.user.a=\n32 SCHILY.xattr.user.b%25%3D=\xff\0\n',
    ],
  ];
  for (const [what, more, records] of RECORDS)
    it(`${what}: ${JSON.stringify(records.slice(0, 40)) || 'no record'}`, () =>
      assert.equal(recordsOf(entryOf(more)), records));

  it('have a ustar header, to the byte', () => {
    const block = encodeEntry(
      entryOf({
        type: 'character',
        name: 'dir/x',
        mode: 0o4755,
        uid: 1,
        gid: 2,
        size: 3,
        linkName: 'l',
        major: 4,
        minor: 5,
      }),
    );
    const expected = Buffer.alloc(BLOCK);
    const fields: readonly [number, string][] = [
      [0, 'dir/x'],
      [100, '0004755\0'],
      [108, '0000001\0'],
      [116, '0000002\0'],
      [124, '00000000003\0'],
      [136, '00000000000\0'],
      [148, '        '],
      [156, '3'],
      [157, 'l'],
      [257, 'ustar\x0000'],
      [329, '0000004\0'],
      [337, '0000005\0'],
    ];
    for (const [at, text] of fields) expected.write(text, at, 'latin1');
    const sum = expected.reduce((total, byte) => total + byte, 0);
    expected.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    assert.deepEqual(block, expected);
  });

  it('have the type flags of ustar', () => {
    const types = ['file', 'link', 'symlink', 'character', 'block', 'directory', 'fifo'] as const;
    assert.equal(
      types.map((type) => encodeEntry(entryOf({ type })).toString('latin1', 156, 157)).join(''),
      '0123456',
    );
  });

  it('have PAX headers that depend on nothing but their records', () => {
    const pax = encodeEntry(
      entryOf({ name: '\xff', mode: 0o600, uid: 7, mtime: { seconds: 9, nanoseconds: 0 } }),
    );
    assert.equal(pax.length, 3 * BLOCK);
    const head = pax.subarray(0, BLOCK);
    const fields: readonly [number, string][] = [
      [0, '././@PaxHeader\0'],
      [100, '0000644\0'],
      [108, '0000000\0'],
      [116, '0000000\0'],
      [124, '00000000011\0'],
      [136, '00000000000\0'],
      [156, 'x\0'],
      [257, 'ustar\x0000'],
      [329, '0000000\0'],
      [337, '0000000\0'],
    ];
    for (const [at, text] of fields)
      assert.equal(head.toString('latin1', at, at + text.length), text, `${at}`);
  });

  it('a length that counts its own digits is right around powers of ten', async () => {
    for (const length of [80, 81, 82, 83, 84, 85, 86, 87, 978, 979, 980, 981, 982, 983]) {
      const value = Buffer.alloc(length, 'v');
      const [found] = await readBack(
        await collect(tarStream([{ entry: entryOf({ xattrs: new Map([['user.x', value]]) }) }])),
      );
      assert.deepEqual(found?.entry.xattrs.get('user.x'), value);
    }
  });

  it('come back as they were, whatever the entry', async () => {
    const text = fc.string({
      unit: fc.constantFrom('a', '/', '\xff', 'b', '.', ' '),
      minLength: 1,
      maxLength: 300,
    });
    const item = fc.record({
      name: text.filter((name) => !name.endsWith('/')),
      mode: fc.integer({ min: 0, max: 0o7777 }),
      uid: fc.integer({ min: 0, max: 2 ** 32 - 2 }),
      gid: fc.integer({ min: 0, max: 2 ** 32 - 2 }),
      mtime: fc.record({
        seconds: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
        nanoseconds: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 999_999_999 })),
      }),
      data: fc.uint8Array({ maxLength: 1100 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(item, { maxLength: 5 }), async (plans) => {
        const items = plans.map(({ data, ...more }): Item & { data: Buffer[] } => ({
          entry: entryOf({ ...more, size: data.length, stored: data.length }),
          data: [Buffer.from(data)],
        }));
        const bytes = await collect(tarStream(items));
        assert.equal(bytes.length % BLOCK, 0);
        const found = await readBack(bytes);
        assert.deepEqual(
          found,
          items.map(({ entry, data }) => ({ entry, data: data[0] as Buffer })),
        );
      }),
      { numRuns: 50 },
    );
  });

  it('end with two zero blocks, and nothing else', async () => {
    assert.deepEqual(await collect(tarStream([])), Buffer.alloc(2 * BLOCK));
    for (const size of [0, 1, 511, 512, 513]) {
      const data = Buffer.alloc(size, 'x');
      const bytes = await collect(tarStream([{ entry: entryOf({ size }), data: [data] }]));
      const padded = Math.ceil(size / BLOCK) * BLOCK;
      assert.equal(bytes.length, 3 * BLOCK + padded);
      assert.deepEqual(bytes.subarray(BLOCK, BLOCK + size), data);
      assert.isTrue(bytes.subarray(BLOCK + size).equals(Buffer.alloc(2 * BLOCK + padded - size)));
    }
  });

  it('come in chunks of 64 KiB or more, whatever the pieces', async () => {
    const pieces = Array.from({ length: 300 }, () => Buffer.alloc(1000, 'x'));
    const chunks: number[] = [];
    for await (const chunk of tarStream([{ entry: entryOf({ size: 300_000 }), data: pieces }]))
      chunks.push((chunk as Buffer).length);
    assert.isTrue(
      chunks.slice(0, -1).every((length) => length >= 65_536),
      `${chunks}`,
    );
    assert.equal(
      chunks.reduce((sum, length) => sum + length, 0),
      BLOCK + 300_000 + ((BLOCK - (300_000 % BLOCK)) % BLOCK) + 2 * BLOCK,
    );
  });

  it('are read by GNU tar', async () => {
    const names = ['plain', `${'d'.repeat(120)}/${'f'.repeat(90)}`, `l/${'f'.repeat(150)}`];
    const bytes = await collect(tarStream(names.map((name) => ({ entry: entryOf({ name }) }))));
    assert.deepEqual(execFileSync('tar', ['-t'], { input: bytes }).toString().trim().split('\n'), names);
  });
});
