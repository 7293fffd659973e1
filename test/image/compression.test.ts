/** Protects what archives and layers are read through: every form by its bytes, damage named, memory bounded. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { assert } from 'chai';
import { UsageError } from '../../fs/index.js';
import { createCompress, decompress } from '../../runtime/image/layer/compression.js';
import { collect } from '../support/image/scratch.js';

const MIB = 1024 * 1024;
const PLAIN = Buffer.concat([randomBytes(MIB), Buffer.alloc(3 * MIB, 'abc'), randomBytes(100_000)]);

function filter(command: string, args: readonly string[], input: Buffer): Buffer {
  const { status, stdout, stderr } = spawnSync(command, args, { input, maxBuffer: 64 * MIB });
  assert.equal(status, 0, String(stderr));
  return stdout;
}

const zstd = (input: Buffer, ...args: readonly string[]): Buffer =>
  filter('zstd', ['-q', '-c', ...args], input);

const xz = (input: Buffer, ...args: readonly string[]): Buffer => filter('xz', ['-q', '-c', ...args], input);
const bzip2 = (input: Buffer): Buffer => filter('bzip2', ['-q', '-c'], input);

function source(bytes: Buffer, piece = 10_000): Readable {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += piece) chunks.push(bytes.subarray(at, at + piece));
  return Readable.from(chunks, { objectMode: false });
}

const EMPTY_GZIP = gzipSync(Buffer.alloc(0));
/** A zstd frame that is to be skipped. */
const SKIPPABLE = Buffer.from('502a4d180400000011223344', 'hex');

const FORMS: readonly (readonly [name: string, compression: string, bytes: () => Buffer, plain: Buffer])[] = [
  ['nothing', 'none', () => PLAIN, PLAIN],
  ['an empty stream', 'none', () => Buffer.alloc(0), Buffer.alloc(0)],
  ['a single byte', 'none', () => Buffer.from('x'), Buffer.from('x')],
  ['gzip', 'gzip', () => gzipSync(PLAIN), PLAIN],
  [
    'gzip in two members',
    'gzip',
    () => Buffer.concat([gzipSync(PLAIN), gzipSync(PLAIN)]),
    Buffer.concat([PLAIN, PLAIN]),
  ],
  ['zstd', 'zstd', () => zstd(PLAIN), PLAIN],
  ['zstd of nothing', 'zstd', () => zstd(Buffer.alloc(0)), Buffer.alloc(0)],
  ['zstd at its best', 'zstd', () => zstd(PLAIN, '-19', '--long=27'), PLAIN],
  [
    'zstd in frames',
    'zstd',
    () => Buffer.concat([SKIPPABLE, zstd(PLAIN), SKIPPABLE, zstd(PLAIN)]),
    Buffer.concat([PLAIN, PLAIN]),
  ],
  ['gzip with empty members', 'gzip', () => Buffer.concat([EMPTY_GZIP, gzipSync(PLAIN), EMPTY_GZIP]), PLAIN],
  ['gzip of nothing', 'gzip', () => EMPTY_GZIP, Buffer.alloc(0)],
  ['xz', 'xz', () => xz(PLAIN), PLAIN],
  ['xz of nothing', 'xz', () => xz(Buffer.alloc(0)), Buffer.alloc(0)],
  ['xz at its best', 'xz', () => xz(PLAIN, '-9e', '--check=sha256'), PLAIN],
  ['xz in streams', 'xz', () => Buffer.concat([xz(PLAIN), xz(PLAIN)]), Buffer.concat([PLAIN, PLAIN])],
  ['bzip2', 'bzip2', () => bzip2(PLAIN), PLAIN],
  ['bzip2 of nothing', 'bzip2', () => bzip2(Buffer.alloc(0)), Buffer.alloc(0)],
  [
    'bzip2 in streams',
    'bzip2',
    () => Buffer.concat([bzip2(PLAIN), bzip2(PLAIN)]),
    Buffer.concat([PLAIN, PLAIN]),
  ],
];

const flipped = (bytes: Buffer, at: number): Buffer => {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] as number) ^ 0xff;
  return copy;
};

/** RFC 8878: a frame whose window descriptor asks for 2 GiB. */
const HUGE_WINDOW = Buffer.from('28b52ffd00a80100007800000000', 'hex');

const DAMAGED: readonly (readonly [name: string, bytes: () => Buffer, complaint: RegExp])[] = [
  [
    'gzip that is cut off',
    () => gzipSync(PLAIN).subarray(0, 5000),
    /^the layer x is damaged gzip data: unexpected end of file$/,
  ],
  [
    'gzip with a changed byte',
    () => flipped(gzipSync(PLAIN), 900_000),
    /^the layer x is damaged gzip data: /,
  ],
  [
    'zstd that is cut off',
    () => zstd(PLAIN).subarray(0, 5000),
    /^the layer x is damaged zstd data: it ends within a frame$/,
  ],
  [
    'zstd with a changed byte',
    () => flipped(zstd(PLAIN), 900_000),
    /^the layer x is damaged zstd data: a checksum is wrong$/,
  ],
  ['zstd with a changed header', () => flipped(zstd(PLAIN), 4), /^the layer x is damaged zstd data: /],
  [
    'zstd followed by something else',
    () => Buffer.concat([zstd(PLAIN), Buffer.alloc(100, 'x')]),
    /a frame has no magic number$/,
  ],
  ['zstd with a window of 2 GiB', () => HUGE_WINDOW, /a frame needs a window of more than 128 MiB$/],
  [
    'xz that is cut off',
    () => xz(PLAIN).subarray(0, 5000),
    /^the layer x is damaged xz data: Unexpected end of input$/,
  ],
  [
    'xz with a changed byte',
    () => flipped(xz(PLAIN), 900_000),
    /^the layer x is damaged xz data: Compressed data is corrupt$/,
  ],
  [
    'xz followed by something else',
    () => Buffer.concat([xz(PLAIN), Buffer.alloc(100, 'x')]),
    /^the layer x is damaged xz data: /,
  ],
  [
    'xz with a window of 1 GiB',
    () => xz(Buffer.from('x'), '--lzma2=dict=1GiB'),
    /^the layer x is damaged xz data: Memory usage limit reached$/,
  ],
  [
    'bzip2 that is cut off',
    () => bzip2(PLAIN).subarray(0, 5000),
    /^the layer x is damaged bzip2 data: Compressed file ends unexpectedly;?$/,
  ],
  [
    'bzip2 with a changed byte',
    () => flipped(bzip2(PLAIN), 900_000),
    /^the layer x is damaged bzip2 data: Data integrity error/,
  ],
  ['lz4', () => Buffer.from('04224d18', 'hex'), /^the layer x is compressed with lz4; use gzip or zstd$/],
];

describe('compression', () => {
  for (const [name, compression, bytes, plain] of FORMS) {
    it(`is told from the first bytes: ${name}`, async () => {
      for (const piece of [1 << 20, 7_001, ...(plain.length < 100 ? [1] : [])]) {
        const found = await decompress(source(bytes(), piece), 'the layer x');
        assert.equal(found.compression, compression);
        assert.isTrue((await collect(found.stream)).equals(plain));
      }
    });
  }

  for (const [name, bytes, complaint] of DAMAGED) {
    it(`refuses ${name}`, async () => {
      const attempt = async (): Promise<void> => {
        await collect((await decompress(source(bytes()), 'the layer x')).stream);
      };
      const error = await attempt().catch((reason: unknown) => reason);
      assert.instanceOf(error, UsageError);
      assert.match((error as Error).message, complaint);
    });
  }

  for (const compressed of [PLAIN, gzipSync(PLAIN), zstd(PLAIN), xz(PLAIN), bzip2(PLAIN)]) {
    it('hands on the errors of its source as they are', async () => {
      const broken = new Error('the disk is gone');
      const failing = Readable.from(
        (function* () {
          yield compressed.subarray(0, 100_000);
          throw broken;
        })(),
        { objectMode: false },
      );
      const { stream } = await decompress(failing, 'the layer x');
      assert.strictEqual(await collect(stream).catch((reason: unknown) => reason), broken);
    });
  }

  it('ends its source when nobody reads on', async () => {
    for (const bytes of [PLAIN, gzipSync(PLAIN), zstd(PLAIN), xz(PLAIN), bzip2(PLAIN)]) {
      const origin = source(bytes);
      const { stream } = await decompress(origin, 'the layer x');
      for await (const _ of stream) break;
      assert.isTrue(stream.destroyed);
      if (!origin.closed) await new Promise((resolve) => origin.once('close', resolve));
    }
  });

  it('names the program that is missing, and the command that installs it', async () => {
    const { PATH } = process.env;
    process.env['PATH'] = '/nowhere';
    try {
      const { stream } = await decompress(source(Buffer.from('BZh91AY')), 'the layer x');
      const error = (await collect(stream).catch((reason: unknown) => reason)) as Error;
      assert.instanceOf(error, UsageError);
      assert.match(
        error.message,
        /^the layer x is bzip2 data: cannot decompress it: the program "bzip2" is not installed; .* install .*bzip2$/,
      );
    } finally {
      process.env['PATH'] = PATH;
    }
  });

  it('writes gzip that gzip reads, without name and time, twice the same', async () => {
    const once = await collect(source(PLAIN).pipe(createCompress()));
    const twice = await collect(source(PLAIN, 333).pipe(createCompress()));
    assert.isTrue(once.equals(twice));
    assert.deepEqual([...once.subarray(2, 8)], [8, 0, 0, 0, 0, 0], 'deflate, no flags, no time');
    assert.isTrue(filter('gzip', ['-dc'], once).equals(PLAIN));
  });
});
