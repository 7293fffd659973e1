/**
 * Reads a tar archive: tar-stream does the framing, this module interprets the headers.
 *
 * tar-stream decodes PAX records as UTF-8, which corrupts binary attributes and names, drops unknown records (sparse maps)
 * and rounds times. All of this is in its header codec, `tar-stream/headers.js`, so its two decoders are replaced for the
 * whole process.
 *
 * Rules: the archive ends at two zero blocks, as for Go and GNU tar; data after them is read and ignored. A single zero
 * block is an error, as for Go. Global PAX headers are ignored, as by docker. Entries are passed on synchronously, in the
 * archive's order. Compare readHeader in archive/tar/reader.go.
 */
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type ExtractEvents, extract } from 'tar-stream';
import { UsageError } from '../../../fs/index.js';
import { quote } from './names.js';
import { EXTENSION_FLAG, isFollowed, oldGnuMap, Placer, paxMap, type SparseMap } from './sparse.js';
import { entryOf } from './tar-attributes.js';
import { codec } from './tar-codec.js';
import type { TarEntry } from './tar-entry.js';
import {
  BLOCK,
  decodeHeader,
  decodePax,
  isZeroBlock,
  type PaxRecords,
  TarError,
  type TarHeader,
} from './tar-header.js';

/** Receives an archive's entries. An exception of a method ends the reading. */
export interface TarSink {
  entry(entry: TarEntry): void;
  /** Data of the last entry; `offset` is where it belongs in the file. */
  data(chunk: Buffer, offset: number): void;
  /** The last entry is complete. */
  end(): void;
}

/** The result of our decoder; tar-stream adds names and size of extended headers to it. */
interface FramedHeader {
  name: string;
  linkname: string;
  size: number;
  type: string;
  pax: PaxRecords | null;
  byteOffset: number;
  /** Undefined for a zero block. */
  header: TarHeader | undefined;
  block: Buffer;
}

type EntryEvent = ExtractEvents['entry'];
type Source = EntryEvent[1];

/** What of the codec is replaced. */
interface Decoders {
  decode(block: Buffer): FramedHeader;
  decodePax(bytes: Buffer): PaxRecords;
}

Object.assign(codec, { decode: frame, decodePax } satisfies Decoders);

const GLOBAL = 'global';
/** The types that tar-stream's framing tells apart; it does not know "global", so that it applies none. */
const FRAMED: Readonly<Record<string, string>> = {
  L: 'gnu-long-path',
  N: 'gnu-long-path',
  K: 'gnu-long-link-path',
  x: 'pax-header',
  X: 'pax-header',
  g: GLOBAL,
};
const SPARSE = 'S';

function frame(block: Buffer): FramedHeader {
  const header = isZeroBlock(block) ? undefined : decodeHeader(block);
  const extension = header?.flag === SPARSE && isFollowed(block) ? BLOCK : 0;
  return {
    name: header?.name ?? '',
    linkname: header?.linkName ?? '',
    size: (header?.size ?? 0) + extension,
    type: header === undefined ? 'end' : (FRAMED[header.flag] ?? 'entry'),
    pax: null,
    byteOffset: 0,
    header,
    block,
  };
}

/** Blocks that extend an old GNU header are not counted in its size. */
const placerOf = (map: SparseMap, { header, size }: FramedHeader): Placer =>
  new Placer(map, map.isCounted ? size : (header?.size ?? 0));

const ZERO_BLOCKS_AT_END = 2;

/**
 * Reads an archive to its end.
 * @param source uncompressed
 * @throws UsageError where the archive is damaged or cut off, naming the entry; whatever `source` or `sink` throw
 */
export async function readTar(source: Readable, sink: TarSink): Promise<void> {
  const extractor = extract({ filenameEncoding: 'latin1', allowUnknownFormat: true } as object);
  const framing = extractor as unknown as Framing;
  judgeEnd(framing);
  const reader = new Reader(sink, framing);
  extractor.on('entry', (header, stream, next) =>
    reader.entry(header as unknown as FramedHeader, stream, next),
  );
  try {
    await pipeline(source, extractor as unknown as NodeJS.WritableStream);
    await reader.settled();
  } catch (error) {
    throw reader.explain(error);
  }
}

/** Internal fields of tar-stream's extractor that are used here. */
interface Framing {
  destroy(error: unknown): void;
  /** Bytes of the present entry, or of the padding after it, that have not arrived. */
  _missing: number;
  /** The present entry's data; null when all of it has arrived. */
  readonly _stream: object | null;
  /** The present entry is an extended header. */
  readonly _longHeader: boolean;
  /** What extended headers say of the entry that follows; null if none came, or their entry did. */
  readonly _pax: object | null;
  readonly _gnuLongPath: string | null;
  readonly _gnuLongLinkPath: string | null;
  _write(chunk: unknown, done: (error: Error | null) => void): void;
  _final(done: (error: Error | null) => void): void;
  /** Completes the current chunk. */
  _continueWrite(error: Error | null): void;
}

/** Drops all further data, without framing it. */
function ignoreTheRest(framing: Framing): void {
  framing._write = (_, done) => done(null);
  framing._final = (done) => done(null);
  framing._continueWrite(null);
}

/**
 * An archive may end with its last byte of data, as umoci's layers do; Go's reader does not require the padding. One that
 * ends after an extended header lacks the entry for that header.
 */
function judgeEnd(framing: Framing): void {
  const final = framing._final.bind(framing);
  framing._final = (done) => {
    const { _pax, _gnuLongPath, _gnuLongLinkPath } = framing;
    if (_pax ?? _gnuLongPath ?? _gnuLongLinkPath) {
      done(new TarError('ends after an extended header'));
      return;
    }
    if (framing._stream === null && !framing._longHeader) framing._missing = 0;
    final(done);
  };
}

class Reader {
  readonly #sink: TarSink;
  readonly #framing: Framing;
  #last: string | undefined;
  #zeroBlocks = 0;
  #open: Promise<void> | undefined;

  constructor(sink: TarSink, framing: Framing) {
    this.#sink = sink;
    this.#framing = framing;
  }

  entry(framed: FramedHeader, stream: Source, next: () => void): void {
    const { header } = framed;
    stream.on('error', () => {}); // the extractor reports the error
    if (header === undefined) {
      this.#zeroBlocks += 1;
      stream.resume();
      if (this.#zeroBlocks < ZERO_BLOCKS_AT_END) next();
      else ignoreTheRest(this.#framing);
      return;
    }
    if (this.#zeroBlocks > 0) {
      this.#guard(() => {
        throw new TarError('continues after a single zero block');
      });
      return;
    }
    if (framed.type === GLOBAL) {
      stream.resume();
      next();
      return;
    }
    this.#last = framed.name;
    this.#guard(() => this.#take(framed, header, stream, next));
  }

  #take(framed: FramedHeader, header: TarHeader, stream: Source, next: () => void): void {
    const pax = framed.pax ?? {};
    const map = header.flag === SPARSE ? oldGnuMap(framed.block) : paxMap(pax);
    const entry = entryOf(header, framed, pax, map?.size);
    this.#last = entry.name;
    this.#sink.entry(entry);
    const placer = map && placerOf(map, framed);
    if (framed.size === 0) {
      placer?.end();
      this.#sink.end();
      stream.resume();
      next();
      return;
    }
    this.#open = new Promise((resolve) => stream.on('close', resolve));
    if (header.flag === SPARSE && isFollowed(framed.block)) this.#frameExtensions(stream);
    this.#receive(stream, placer, next);
  }

  #receive(stream: Source, placer: Placer | undefined, next: () => void): void {
    let offset = 0;
    stream.on('data', (data) =>
      this.#guard(() => {
        const chunk = data as Buffer;
        if (placer === undefined) this.#sink.data(chunk, offset);
        else placer.place(chunk, (bytes, at) => this.#sink.data(bytes, at));
        offset += chunk.length;
      }),
    );
    stream.on('end', () =>
      this.#guard(() => {
        placer?.end();
        this.#sink.end();
        next();
      }),
    );
  }

  /** Blocks that continue an old GNU sparse map are not counted in the size: each says whether one more follows. */
  #frameExtensions(stream: Source): void {
    const push = stream.push.bind(stream);
    let seen = 0;
    let flagAt: number = EXTENSION_FLAG;
    stream.push = (chunk: Buffer | null) => {
      if (chunk === null) return push(chunk);
      while (flagAt < seen + chunk.length && chunk[flagAt - seen] !== 0) {
        this.#framing._missing += BLOCK;
        flagAt += BLOCK;
      }
      if (flagAt < seen + chunk.length) flagAt = Number.POSITIVE_INFINITY;
      seen += chunk.length;
      return push(chunk);
    };
  }

  #guard(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#framing.destroy(error);
    }
  }

  /** The last entry has been handed on. */
  async settled(): Promise<void> {
    await this.#open;
  }

  /** Adds the position to errors of tar-stream and of this module. */
  explain(error: unknown): unknown {
    if (error instanceof UsageError || !(error instanceof Error)) return error;
    const where = this.#last === undefined ? 'at its start' : `at or after the entry ${quote(this.#last)}`;
    if (error instanceof TarError)
      return new UsageError(`the archive is damaged ${where}: it ${error.message}`);
    const known = TAR_STREAM_ERRORS[error.message];
    return known === undefined ? error : new UsageError(`the archive is ${known} ${where}`);
  }
}

const TAR_STREAM_ERRORS: Readonly<Record<string, string>> = {
  'Unexpected end of data': 'truncated',
  'Header exceeds max size': 'damaged: an extended header is larger than 4 MiB',
  'Invalid header': 'damaged: an invalid size',
};
