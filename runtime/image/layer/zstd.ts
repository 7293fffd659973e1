/**
 * Zstandard decompression, streaming.
 *
 * The package zstddec brings the reference implementation compiled to WebAssembly. Its own loop needs all input at
 * once and does not end on damaged data, so this module calls the library's functions directly. A frame's window is at most
 * 128 MiB, the library's default, so memory is bounded. Compare ZSTD_decompressStream in zstd.h.
 */
import { Transform, type TransformCallback } from 'node:stream';
import { ZSTDDecoder } from 'zstddec/stream';

/** What is used of libzstd; pointers are offsets in `memory`. */
interface Library {
  readonly memory: { readonly buffer: ArrayBuffer };
  malloc(size: number): number;
  free(pointer: number): void;
  ZSTD_createDCtx(): number;
  ZSTD_freeDCtx(context: number): void;
  /** 0 at the end of a frame, negative for an error, else a hint of what comes. */
  ZSTD_decompressStream(context: number, output: number, input: number): number;
}

class LibraryLoader extends ZSTDDecoder {
  static library: Library | undefined;

  override _init(result: Parameters<ZSTDDecoder['_init']>[0]): void {
    super._init(result);
    LibraryLoader.library = result.instance.exports as Library;
  }
}

/** zstd_errors.h */
const REASONS: Readonly<Record<number, string>> = {
  10: 'a frame has no magic number',
  14: 'a frame uses features that do not exist',
  16: 'a frame needs a window of more than 128 MiB',
  22: 'a checksum is wrong',
  32: 'a frame needs a dictionary',
  64: 'out of memory',
};

const IN_SIZE = 128 * 1024;
const OUT_SIZE = 256 * 1024;
/** struct ZSTD_inBuffer and ZSTD_outBuffer: pointer, size, position. */
const BUFFER_SIZE = 12;
const SIZE = 4;
const POSITION = 8;

/** A decompressor; errors say what is wrong with the data. */
export async function createZstdDecompress(): Promise<Transform> {
  if (LibraryLoader.library === undefined) await new LibraryLoader().init();
  if (LibraryLoader.library === undefined) throw new Error('zstddec did not load');
  return new ZstdDecompress(LibraryLoader.library);
}

class ZstdDecompress extends Transform {
  readonly #library: Library;
  readonly #context: number;
  readonly #memory: number;
  #isFrameOpen = false;

  constructor(library: Library) {
    super({ readableHighWaterMark: OUT_SIZE });
    this.#library = library;
    this.#context = library.ZSTD_createDCtx();
    this.#memory = library.malloc(2 * BUFFER_SIZE + IN_SIZE + OUT_SIZE);
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    try {
      for (let at = 0; at < chunk.length; at += IN_SIZE) this.#decompress(chunk.subarray(at, at + IN_SIZE));
      done();
    } catch (error) {
      done(error as Error);
    }
  }

  #decompress(chunk: Buffer): void {
    const [output, input] = [this.#memory, this.#memory + BUFFER_SIZE];
    const source = input + BUFFER_SIZE;
    const target = source + IN_SIZE;
    this.#write(input, source, chunk.length);
    new Uint8Array(this.#library.memory.buffer, source, chunk.length).set(chunk);
    for (let isFull = true; isFull || this.#read(input + POSITION) < chunk.length; ) {
      this.#write(output, target, OUT_SIZE);
      const result = this.#library.ZSTD_decompressStream(this.#context, output, input);
      if (result < 0) throw new Error(REASONS[-result] ?? 'it is damaged');
      this.#isFrameOpen = result > 0;
      const length = this.#read(output + POSITION);
      if (length > 0) this.push(Buffer.from(new Uint8Array(this.#library.memory.buffer, target, length)));
      isFull = length === OUT_SIZE;
    }
  }

  #write(pointer: number, data: number, size: number): void {
    const view = new DataView(this.#library.memory.buffer);
    view.setUint32(pointer, data, true);
    view.setUint32(pointer + SIZE, size, true);
    view.setUint32(pointer + POSITION, 0, true);
  }

  #read(pointer: number): number {
    return new DataView(this.#library.memory.buffer).getUint32(pointer, true);
  }

  override _flush(done: TransformCallback): void {
    done(this.#isFrameOpen ? new Error('it ends within a frame') : null);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#library.ZSTD_freeDCtx(this.#context);
    this.#library.free(this.#memory);
    done(error);
  }
}
