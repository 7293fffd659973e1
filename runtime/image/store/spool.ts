/**
 * New blobs of a store: files of a writer's workspace until they are shown.
 *
 * Rules: what has a digest here is whole and was compared with it. A source that can be read only once (a pipe that
 * brings layers before the manifest that names them) puts its files here as they come, hashed on the way: the store
 * takes them by a rename, and nothing is written twice.
 */
import { closeSync, openSync, writeFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { streamRegular } from '../../../fs/input/regular-file.js';
import { ftruncate } from '../../../fs/sys/syscalls.js';
import { writeSparse } from '../../../fs/sys/write-sparse.js';
import type { Blob, Digest } from '../oci.js';
import { Check, digestOf, type Expected } from '../verify.js';
import type { Layout } from './layout.js';
import type { Workspace } from './workspace.js';

const PRIVATE_FILE = 0o600;

/** A new file, with holes for its zeros. */
class SparseFile {
  readonly #fd: number;
  /** Bytes so far. */
  size = 0;
  #isOpen = true;

  constructor(path: string) {
    this.#fd = openSync(path, 'wx', PRIVATE_FILE);
  }

  write(chunk: Buffer): void {
    writeSparse(this.#fd, chunk, this.size);
    this.size += chunk.length;
  }

  complete(): void {
    ftruncate(this.#fd, this.size); // it may end with a hole
    this.close();
  }

  close(): void {
    if (this.#isOpen) closeSync(this.#fd);
    this.#isOpen = false;
  }
}

/** A blob that comes piece by piece. Nothing is kept of it unless `end` succeeds. */
export class BlobFile {
  readonly #file: SparseFile;
  readonly #check: Check;
  readonly #keep: (blob: Blob) => void;

  constructor(path: string, expected: Expected, keep: (blob: Blob) => void) {
    this.#file = new SparseFile(path);
    this.#check = new Check(expected);
    this.#keep = keep;
  }

  /** Throws `UsageError` if there are more bytes than expected. */
  write(chunk: Buffer): void {
    this.#check.update(chunk);
    this.#file.write(chunk);
  }

  /** Throws `UsageError` if the bytes are not the expected ones. */
  end(): Blob {
    const blob = { digest: this.#check.finish(), size: this.#file.size };
    this.#file.complete();
    this.#keep(blob);
    return blob;
  }

  close(): void {
    this.#file.close();
  }
}

interface SpooledFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
}

export class Spool {
  readonly #layout: Layout;
  readonly #workspace: Workspace;
  readonly #files = new Map<Digest, SpooledFile>();

  constructor(layout: Layout, workspace: Workspace) {
    this.#layout = layout;
    this.#workspace = workspace;
  }

  /** Whether a blob is here, or in the store. */
  has({ digest, size }: Blob): boolean {
    const file = this.#files.get(digest);
    return file === undefined ? this.#layout.hasBlob({ digest, size }) : file.size === size;
  }

  /** The new blobs. */
  files(): Iterable<readonly [Digest, SpooledFile]> {
    return this.#files;
  }

  /** Where a blob's bytes are, new or stored. */
  path(digest: Digest): string {
    return this.#files.get(digest)?.path ?? this.#layout.blobPath(digest);
  }

  stream(digest: Digest): Readable {
    return streamRegular(this.path(digest));
  }

  open(expected: Expected): BlobFile {
    const path = this.#workspace.path();
    return new BlobFile(path, expected, ({ digest, size }) => this.#files.set(digest, { path, size }));
  }

  /** Keeps what a stream carries. Throws `UsageError` if it is not what was expected. */
  async add(source: Readable, expected: Expected = { what: 'the blob' }): Promise<Blob> {
    const file = this.open(expected);
    try {
      for await (const chunk of source) file.write(chunk as Buffer);
      return file.end();
    } finally {
      file.close();
    }
  }

  /** The same for a stream that is verified already. */
  async addVerified({ digest }: Blob, source: Readable): Promise<void> {
    const path = this.#workspace.path();
    const file = new SparseFile(path);
    try {
      for await (const chunk of source) file.write(chunk as Buffer);
      file.complete();
    } finally {
      file.close();
    }
    this.#files.set(digest, { path, size: file.size });
  }

  addBytes(bytes: Buffer | string): Blob {
    const content = Buffer.from(bytes);
    const path = this.#workspace.path();
    writeFileSync(path, content, { flag: 'wx', mode: PRIVATE_FILE });
    const blob = { digest: digestOf(content), size: content.length };
    this.#files.set(blob.digest, { path, size: blob.size });
    return blob;
  }
}
