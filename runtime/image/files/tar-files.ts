/**
 * The files of a tar stream.
 *
 * Rules: a stream is read once, front to back, since it may be a pipe and name its layers after their bytes; every file
 * goes straight into the spool, hashed on the way. The last file of a name counts, as for tar(1).
 */
import { readFile } from 'node:fs/promises';
import { posix } from 'node:path';
import type { Readable } from 'node:stream';
import { UsageError } from '../../../fs/index.js';
import { decompress } from '../layer/compression.js';
import { UNPACK_LIMITS, type UnpackLimits } from '../layer/unpack.js';
import { MAX_DOCUMENT_BYTES } from '../manifest.js';
import type { Blob } from '../oci.js';
import type { BlobFile, Spool } from '../store/spool.js';
import type { TarEntry } from '../tar/tar-entry.js';
import { readTar, type TarSink } from '../tar/tar-read.js';
import { canonical, expectation, type ImageFiles, missing, promised, tooLarge } from './image-files.js';

const MAX_LINKS = 8;

/** Documents name files in UTF-8. */
const toText = (name: string): string => Buffer.from(name, 'latin1').toString();

/** Reads a whole tar stream, compressed or not, into the spool. */
export async function readArchive(
  stream: Readable,
  spool: Spool,
  limits: Partial<UnpackLimits> | undefined,
): Promise<ImageFiles> {
  const files = new TarFiles(spool, { ...UNPACK_LIMITS, ...limits });
  try {
    const archive = await decompress(stream, 'the archive');
    await readTar(archive.stream, files);
  } finally {
    files.close();
  }
  return files;
}

class TarFiles implements ImageFiles, TarSink {
  readonly #spool: Spool;
  readonly #limits: UnpackLimits;
  readonly #blobs = new Map<string, Blob>();
  readonly #links = new Map<string, string>();
  #bytes = 0;
  #entries = 0;
  /** The entry that is being read. */
  #name = '';
  #file: BlobFile | undefined;

  constructor(spool: Spool, limits: UnpackLimits) {
    this.#spool = spool;
    this.#limits = limits;
  }

  // --- reading

  entry(entry: TarEntry): void {
    this.#count(entry);
    const name = canonical(toText(entry.name));
    this.#name = name;
    if (entry.type === 'symlink' || entry.type === 'link') {
      const from = entry.type === 'link' ? '' : posix.dirname(name);
      this.#links.set(name, canonical(posix.join(from, toText(entry.linkName))));
      this.#blobs.delete(name);
    } else if (entry.type === 'file') {
      this.#links.delete(name);
      this.#open(name, entry.size);
    }
  }

  #count({ size }: TarEntry): void {
    const { maxBytes, maxEntries } = this.#limits;
    this.#bytes += size;
    this.#entries += 1;
    if (this.#bytes > maxBytes || this.#entries > maxEntries)
      throw new UsageError(`the archive exceeds the limit of ${maxBytes} bytes or ${maxEntries} files`);
  }

  /** A blob that the store has already is not written again. */
  #open(name: string, size: number): void {
    const digest = promised(name);
    if (digest !== undefined && this.#spool.has({ digest, size })) this.#blobs.set(name, { digest, size });
    else this.#file = this.#spool.open({ ...expectation(name), size });
  }

  data(chunk: Buffer): void {
    this.#file?.write(chunk);
  }

  end(): void {
    if (this.#file !== undefined) this.#blobs.set(this.#name, this.#file.end());
    this.#file = undefined;
  }

  close(): void {
    this.#file?.close();
  }

  // --- looking up

  #find(name: string): Blob | undefined {
    let at = canonical(name);
    for (let links = 0; links < MAX_LINKS; links++) {
      const blob = this.#blobs.get(at);
      if (blob !== undefined) return blob;
      const target = this.#links.get(at);
      if (target === undefined) return undefined;
      at = target;
    }
    return undefined;
  }

  has(name: string): boolean {
    return this.#find(name) !== undefined;
  }

  async document(name: string): Promise<Buffer> {
    const blob = await this.spooled(name);
    if (blob.size > MAX_DOCUMENT_BYTES) throw tooLarge(name, blob.size);
    return readFile(this.#spool.path(blob.digest));
  }

  async open(name: string): Promise<Readable> {
    return this.#spool.stream((await this.spooled(name)).digest);
  }

  async spooled(name: string): Promise<Blob> {
    const blob = this.#find(name);
    if (blob === undefined) throw missing(name);
    return blob;
  }
}
