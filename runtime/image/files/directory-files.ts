/**
 * The files of a directory that holds what an archive would.
 *
 * Rule: what is read is a regular file whose real path lies in the directory; whatever else has the name is missing.
 */
import { createReadStream, realpathSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, sep } from 'node:path';
import type { Readable } from 'node:stream';
import { MAX_DOCUMENT_BYTES } from '../manifest.js';
import type { Blob } from '../oci.js';
import type { Spool } from '../store/spool.js';
import { canonical, expectation, type ImageFiles, missing, promised, tooLarge } from './image-files.js';

export class DirectoryFiles implements ImageFiles {
  readonly #root: string;
  readonly #spool: Spool;

  constructor(directory: string, spool: Spool) {
    this.#root = realpathSync(directory);
    this.#spool = spool;
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

  #required(name: string): string {
    const path = this.#path(name);
    if (path === undefined) throw missing(name);
    return path;
  }

  async document(name: string): Promise<Buffer> {
    const path = this.#required(name);
    const { size } = statSync(path);
    if (size > MAX_DOCUMENT_BYTES) throw tooLarge(name, size);
    return readFile(path);
  }

  async open(name: string): Promise<Readable> {
    return createReadStream(this.#required(name));
  }

  async spooled(name: string): Promise<Blob> {
    const path = this.#required(name);
    const digest = promised(name);
    const stored = digest && { digest, size: statSync(path).size };
    if (stored !== undefined && this.#spool.has(stored)) return stored;
    return this.#spool.add(createReadStream(path), expectation(name));
  }
}
