/**
 * Decompresses archives and layers. The format is detected by the first bytes, never by a name or media type.
 *
 * Rules: gzip, zstd, xz, bzip2 and uncompressed data are supported; lz4 is recognized and refused. Memory is bounded for
 * any input. gzip is written without name and time, so the same bytes give the same file (RFC 1952, section 2.3).
 */
import { pipeline, Readable } from 'node:stream';
import { createGunzip, createGzip, type Gzip } from 'node:zlib';
import { HostError, UsageError } from '../../../fs/index.js';
import { decompressWith } from './decompress-program.js';
import { createZstdDecompress } from './zstd.js';

export type Compression = 'none' | 'gzip' | 'zstd' | 'xz' | 'bzip2';

type Format = Compression | 'lz4';

const MAGIC: readonly (readonly [Format, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58]],
  ['lz4', [0x04, 0x22, 0x4d, 0x18]],
];
const LONGEST_MAGIC = 4;
/** zstd's skippable frames may come first: 0x184D2A50 to 5F, little-endian. */
const SKIPPABLE = [0x2a, 0x4d, 0x18];

function formatOf(head: Buffer): Format {
  const known = MAGIC.find(([, magic]) => magic.every((byte, at) => head[at] === byte))?.[0];
  if (known !== undefined) return known;
  const isSkippable =
    ((head[0] ?? 0) & 0xf0) === 0x50 && SKIPPABLE.every((byte, at) => head[at + 1] === byte);
  return isSkippable ? 'zstd' : 'none';
}

const CHUNK = 512 * 1024;

export interface Decompressed {
  readonly compression: Compression;
  readonly stream: Readable;
}

/**
 * Decompresses a stream, if it is compressed.
 * @param what names the data in messages, such as `the layer sha256:...`
 * @throws UsageError for an unsupported format; damaged data makes the stream fail with a UsageError
 */
export async function decompress(source: Readable, what: string): Promise<Decompressed> {
  const { head, rest } = await peek(source, LONGEST_MAGIC);
  const compression = formatOf(head);
  if (compression === 'none') return { compression, stream: rest };
  if (compression === 'lz4') {
    source.destroy();
    throw new UsageError(`${what} is compressed with lz4; use gzip or zstd`);
  }
  const output = await outputOf(compression, rest);
  return { compression, stream: explained(rest, output, what, compression) };
}

async function outputOf(
  compression: Exclude<Compression, 'none'>,
  source: Readable,
): Promise<AsyncIterable<Buffer>> {
  if (compression === 'xz' || compression === 'bzip2') return decompressWith(compression, source);
  const transform =
    compression === 'gzip' ? createGunzip({ chunkSize: CHUNK }) : await createZstdDecompress();
  return pipeline(source, transform, () => {}) as unknown as AsyncIterable<Buffer>;
}

/** The first bytes of a stream, and a stream that still has them. */
async function peek(source: Readable, length: number): Promise<{ head: Buffer; rest: Readable }> {
  const chunks: Buffer[] = [];
  const iterator = source[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  for (let known = 0; known < length; ) {
    const { value, done } = await iterator.next();
    if (done === true) break;
    chunks.push(value);
    known += value.length;
  }
  async function* all(): AsyncGenerator<Buffer> {
    try {
      yield* chunks;
      for (;;) {
        const { value, done } = await iterator.next();
        if (done === true) return;
        yield value;
      }
    } finally {
      await iterator.return?.();
    }
  }
  return {
    head: Buffer.concat(chunks),
    rest: Readable.from(all(), { objectMode: false, highWaterMark: CHUNK }),
  };
}

/** The data of `source`, with error messages that begin with `what`; errors of the source and of the host are not changed. */
function explained(
  source: Readable,
  decompressed: AsyncIterable<Buffer>,
  what: string,
  compression: string,
): Readable {
  let sourceError: Error | undefined;
  source.once('error', (error) => {
    sourceError = error;
  });
  async function* output(): AsyncGenerator<Buffer> {
    try {
      yield* decompressed;
    } catch (error) {
      if (sourceError !== undefined) throw sourceError;
      if (error instanceof HostError)
        throw new UsageError(`${what} is ${compression} data: ${error.message}`);
      throw new UsageError(`${what} is damaged ${compression} data: ${(error as Error).message}`);
    }
  }
  return Readable.from(output(), { objectMode: false, highWaterMark: CHUNK });
}

/** Compresses to gzip, the same bytes to the same file. */
export const createCompress = (): Gzip => createGzip({ chunkSize: CHUNK });
