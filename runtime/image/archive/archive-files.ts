/**
 * The files of an image archive, whether it is a tar stream or a directory.
 *
 * Rules: a stream is read once, front to back, since it may be a pipe and name its layers after their bytes; every
 * file goes straight into the writer's workspace, hashed on the way. Links are followed within the archive only. In a
 * tar the last file of a name counts, as for tar(1).
 */
import { createReadStream, realpathSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, posix, sep } from 'node:path';
import type { Readable } from 'node:stream';
import { UsageError } from '../../../fs/index.js';
import { decompress } from '../layer/compression.js';
import { UNPACK_LIMITS, type UnpackLimits } from '../layer/unpack.js';
import { MAX_DOCUMENT_BYTES } from '../manifest.js';
import type { Digest } from '../oci.js';
import type { Blob, BlobFile, Writer } from '../store/writer.js';
import type { TarEntry } from '../tar/tar-entry.js';
import { readTar, type TarSink } from '../tar/tar-read.js';

export interface ArchiveFiles {
  has(name: string): boolean;
  /** A small file. Throws `UsageError` if it is missing or too large. */
  document(name: string): Promise<Buffer>;
  /** Keeps a file as a blob of the store. Throws `UsageError` if it is missing. */
  blob(name: string): Promise<Blob>;
}

const BLOB_NAME = /^blobs\/sha256\/([0-9a-f]{64})$/;
const MAX_LINKS = 8;

/** The digest that the name of a layout's blob promises. */
function promised(name: string): Digest | undefined {
  const hex = BLOB_NAME.exec(name)?.[1];
  return hex === undefined ? undefined : `sha256:${hex}`;
}

const expectation = (name: string) => {
  const digest = promised(name);
  return { what: `"${name}"`, ...(digest !== undefined && { digest }) };
};

const missing = (name: string): UsageError => new UsageError(`the archive has no file "${name}"`);

const tooLarge = (name: string, size: number): UsageError =>
  new UsageError(`"${name}" has ${size} bytes; at most ${MAX_DOCUMENT_BYTES} are read`);

/** Documents name files in UTF-8. */
const toText = (name: string): string => Buffer.from(name, 'latin1').toString();

/** A name without "./" and the like; it cannot lead out of the archive, because it only looks up what is in it. */
const canonical = (name: string): string => posix.normalize(`/${name}`).replace(/^\/|\/$/g, '');

/** Reads a whole tar stream, compressed or not, into the writer's workspace. */
export async function readArchive(
  stream: Readable,
  writer: Writer,
  limits: Partial<UnpackLimits> | undefined,
): Promise<ArchiveFiles> {
  const files = new TarFiles(writer, { ...UNPACK_LIMITS, ...limits });
  try {
    const archive = await decompress(stream, 'the archive');
    await readTar(archive.stream, files);
  } finally {
    files.close();
  }
  return files;
}

class TarFiles implements ArchiveFiles, TarSink {
  readonly #writer: Writer;
  readonly #limits: UnpackLimits;
  readonly #blobs = new Map<string, Blob>();
  readonly #links = new Map<string, string>();
  #bytes = 0;
  #entries = 0;
  /** The entry that is being read. */
  #name = '';
  #file: BlobFile | undefined;

  constructor(writer: Writer, limits: UnpackLimits) {
    this.#writer = writer;
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
      throw new UsageError(`the archive holds more than ${maxBytes} bytes or ${maxEntries} files`);
  }

  /** A blob that the store has already is not written again. */
  #open(name: string, size: number): void {
    const digest = promised(name);
    if (digest !== undefined && this.#writer.hasBlob({ digest, size }))
      this.#blobs.set(name, { digest, size });
    else this.#file = this.#writer.openBlob({ ...expectation(name), size });
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
    const blob = await this.blob(name);
    if (blob.size > MAX_DOCUMENT_BYTES) throw tooLarge(name, blob.size);
    return readFile(this.#writer.blobPath(blob.digest));
  }

  async blob(name: string): Promise<Blob> {
    const blob = this.#find(name);
    if (blob === undefined) throw missing(name);
    return blob;
  }
}

/** The files of a directory that holds what an archive would. */
export class DirectoryFiles implements ArchiveFiles {
  readonly #root: string;
  readonly #writer: Writer;

  constructor(directory: string, writer: Writer) {
    this.#root = realpathSync(directory);
    this.#writer = writer;
  }

  /** The real path of a file that lies in the directory. */
  #path(name: string): string | undefined {
    try {
      const path = realpathSync(join(this.#root, canonical(name)));
      return path.startsWith(this.#root + sep) && statSync(path).isFile() ? path : undefined;
    } catch {
      return undefined;
    }
  }

  has(name: string): boolean {
    return this.#path(name) !== undefined;
  }

  async document(name: string): Promise<Buffer> {
    const path = this.#path(name);
    if (path === undefined) throw missing(name);
    const { size } = statSync(path);
    if (size > MAX_DOCUMENT_BYTES) throw tooLarge(name, size);
    return readFile(path);
  }

  async blob(name: string): Promise<Blob> {
    const path = this.#path(name);
    if (path === undefined) throw missing(name);
    const digest = promised(name);
    const stored = digest && { digest, size: statSync(path).size };
    if (stored !== undefined && this.#writer.hasBlob(stored)) return stored;
    return this.#writer.addBlob(createReadStream(path), expectation(name));
  }
}
