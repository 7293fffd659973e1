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
import { UsageError } from '../../fs/index.js';
import { type ReadEntry, readTar } from './archive-tar.js';
import { decompress } from './compression.js';
import { MAX_DOCUMENT_BYTES } from './manifest.js';
import type { Digest } from './oci.js';
import type { Blob, UnpackLimits, Writer } from './writer.js';

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

/** A name without "./" and the like; it cannot lead out of the archive, because it only looks up what is in it. */
const canonical = (name: string): string => posix.normalize(`/${name}`).replace(/^\/|\/$/g, '');

/** Reads a whole tar stream, compressed or not, into the writer's workspace. */
export async function readArchive(
  stream: Readable,
  writer: Writer,
  limits: UnpackLimits,
): Promise<ArchiveFiles> {
  const files = new TarFiles(writer);
  let [bytes, entries] = [0, 0];
  for await (const entry of readTar(await decompress(stream))) {
    bytes += entry.size;
    entries += 1;
    if (bytes > limits.maxBytes || entries > limits.maxEntries)
      throw new UsageError(
        `the archive holds more than ${limits.maxBytes} bytes or ${limits.maxEntries} files`,
      );
    await files.take(entry);
  }
  return files;
}

class TarFiles implements ArchiveFiles {
  readonly #writer: Writer;
  readonly #blobs = new Map<string, Blob>();
  readonly #links = new Map<string, string>();

  constructor(writer: Writer) {
    this.#writer = writer;
  }

  async take(entry: ReadEntry): Promise<void> {
    const name = canonical(entry.name);
    if (entry.type === 'symlink' || entry.type === 'link') {
      const from = entry.type === 'link' ? '' : posix.dirname(name);
      this.#links.set(name, canonical(posix.join(from, entry.linkname)));
      this.#blobs.delete(name);
    } else if (entry.type === 'file') {
      this.#blobs.set(name, await this.#keep(name, entry));
      this.#links.delete(name);
    }
  }

  /** A blob that the store has already is not written again. */
  async #keep(name: string, { size, body }: ReadEntry): Promise<Blob> {
    const digest = promised(name);
    if (digest === undefined || !this.#writer.hasBlob({ digest, size })) {
      return this.#writer.addBlob(body, { ...expectation(name), size });
    }
    for await (const _ of body);
    return { digest, size };
  }

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
