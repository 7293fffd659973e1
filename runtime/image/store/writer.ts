/**
 * Adding images to a store: everything is built and verified in a workspace, and shown by renames at the end.
 *
 * Rules: nothing has a name in the store before it is whole, verified and on the disk; the index comes last, so an
 * image is there with all its parts or not at all. What a killed writer has shown already is content-addressed: it
 * is right, and used by the next writer or swept with the rest. Blobs keep the bytes they came with.
 */
import { closeSync, mkdirSync, openSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { UsageError } from '../../../fs/index.js';
import { ftruncate, syncfs } from '../../../fs/sys/syscalls.js';
import { writeSparse } from '../../../fs/sys/write-sparse.js';
import { type Compression, decompress } from '../layer/compression.js';
import { hasUsualRoot } from '../layer/layers-below.js';
import { UNPACK_LIMITS, type Unpacked, type UnpackLimits, unpackLayer } from '../layer/unpack.js';
import { MAX_DOCUMENT_BYTES, parseConfig, parseManifest } from '../manifest.js';
import { type Descriptor, type Digest, type ImageConfig, type LayerSize, MEDIA_TYPE } from '../oci.js';
import { Check, digestOf, type Expected, Verifier } from '../verify.js';
import { placedKeys } from './layer-keys.js';
import { type Layout, readLayerSize } from './layout.js';
import { streamRegular } from './regular-file.js';
import { exchange, removePath, syncDirectory, type Workspace } from './workspace.js';

export interface WriteOptions {
  readonly limits?: Partial<UnpackLimits>;
  /** Called before a layer is unpacked. */
  readonly onLayer?: (layer: { readonly number: number; readonly count: number }) => void;
}

const PRIVATE_FILE = 0o600;
const DIRECTORY = 0o755;

export interface Blob {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

/** An image that is to be shown, with the names it gets. */
interface Addition {
  readonly manifest: Descriptor;
  readonly names: readonly string[];
}

/** A layer in an image. */
interface LayerPlace {
  readonly diffId: Digest;
  /** What it lies under if it leans on those below (`layer-keys.ts`). */
  readonly key: Digest;
  /** The directories of the layers below, the top one first. */
  readonly below: readonly string[];
}

/** A blob that is being written, with holes for its zeros. Nothing is kept of it unless `end` succeeds. */
export class BlobFile {
  readonly #fd: number;
  readonly #check: Check;
  readonly #keep: (digest: Digest) => void;
  #isOpen = true;

  constructor(path: string, expected: Expected, keep: (digest: Digest) => void) {
    this.#fd = openSync(path, 'wx', PRIVATE_FILE);
    this.#check = new Check(expected);
    this.#keep = keep;
  }

  /** Throws `UsageError` if there are more bytes than expected. */
  write(chunk: Buffer): void {
    const offset = this.#check.size;
    this.#check.update(chunk);
    writeSparse(this.#fd, chunk, offset);
  }

  /** Throws `UsageError` if the bytes are not the expected ones. */
  end(): Blob {
    const digest = this.#check.finish();
    ftruncate(this.#fd, this.#check.size); // it may end with a hole
    this.close();
    this.#keep(digest);
    return { digest, size: this.#check.size };
  }

  close(): void {
    if (this.#isOpen) closeSync(this.#fd);
    this.#isOpen = false;
  }
}

export class Writer {
  readonly layout: Layout;
  readonly #workspace: Workspace;
  readonly #options: WriteOptions;
  readonly #blobs = new Map<Digest, string>();
  readonly #layers = new Map<Digest, string>();
  /** What images are made of; other files of an archive are not kept. */
  readonly #needed = new Set<Digest>();
  readonly #additions: Addition[] = [];

  constructor(layout: Layout, workspace: Workspace, options: WriteOptions = {}) {
    this.layout = layout;
    this.#workspace = workspace;
    this.#options = options;
  }

  get additions(): readonly Addition[] {
    return this.#additions;
  }

  /** A path for a temporary file or directory; it is removed with the writer. */
  temporary(): string {
    return this.#workspace.path();
  }

  hasBlob(blob: Blob): boolean {
    return this.#blobs.has(blob.digest) || this.layout.hasBlob(blob);
  }

  /** Where a blob's bytes are, new or stored. */
  blobPath(digest: Digest): string {
    return this.#blobs.get(digest) ?? this.layout.blobPath(digest);
  }

  /** Keeps what a stream carries. Throws `UsageError` if it is not what was expected. */
  async addBlob(source: Readable, expected: Expected = { what: 'the blob' }): Promise<Blob> {
    const file = this.openBlob(expected);
    try {
      for await (const chunk of source) file.write(chunk as Buffer);
      return file.end();
    } finally {
      file.close();
    }
  }

  /** A blob whose bytes come piece by piece. */
  openBlob(expected: Expected): BlobFile {
    const path = this.temporary();
    return new BlobFile(path, expected, (digest) => this.#blobs.set(digest, path));
  }

  addBytes(bytes: Buffer | string): Blob {
    const content = Buffer.from(bytes);
    const path = this.temporary();
    writeFileSync(path, content, { flag: 'wx', mode: PRIVATE_FILE });
    const digest = digestOf(content);
    this.#blobs.set(digest, path);
    return { digest, size: content.length };
  }

  /** How a blob is compressed, by its first bytes. */
  async compressionOf({ digest }: Blob): Promise<Compression> {
    const { compression, stream } = await decompress(
      streamRegular(this.blobPath(digest)),
      `blob "${digest}"`,
    );
    stream.destroy();
    return compression;
  }

  /** Keeps what a blob holds uncompressed as another one. Throws `UsageError` if that is more than a layer may hold. */
  async addUncompressed({ digest }: Blob): Promise<Blob> {
    const what = `blob "${digest}"`;
    const { stream } = await decompress(streamRegular(this.blobPath(digest)), what);
    const { maxBytes } = { ...UNPACK_LIMITS, ...this.#options.limits };
    return this.addBlob(Readable.from(bounded(stream, maxBytes, what), { objectMode: false }));
  }

  /** Unpacks a layer that is not there yet. Throws `UsageError` if the blob does not hold the layer that it should. */
  async #addLayer(blob: Blob, place: LayerPlace): Promise<void> {
    const { diffId } = place;
    const known = this.#keyOf(place);
    if (known !== undefined && blob.digest === diffId) return;
    const expected = { digest: diffId, what: `layer "${blob.digest}", unpacked,` };
    const verifier = new Verifier(expected);
    const file = streamRegular(this.blobPath(blob.digest));
    const { stream: source } = await decompress(file, `layer "${blob.digest}"`);
    if (known !== undefined) {
      await pipeline(source, verifier, discardAll);
      return;
    }
    const directory = this.temporary();
    mkdirSync(join(directory, 'diff'), { recursive: true, mode: DIRECTORY });
    const unpacked = await this.#unpack(source, verifier, join(directory, 'diff'), place.below);
    const { entries, bytes, describesRoot, leansOnBelow } = unpacked;
    const size: LayerSize = { bytes, entries, tar: verifier.size, describesRoot };
    writeFileSync(join(directory, 'layer.json'), JSON.stringify(size));
    this.#layers.set(leansOnBelow ? place.key : diffId, directory);
  }

  /**
   * Under which key a layer is there already. One that lies under its diffID and says nothing of its root may be right
   * upon another root alone.
   */
  #keyOf({ diffId, key, below }: LayerPlace): Digest | undefined {
    if (this.#hasLayer(key)) return key;
    if (!this.#hasLayer(diffId)) return undefined;
    return this.#sizeOf(diffId).describesRoot === true || hasUsualRoot(below) ? diffId : undefined;
  }

  #sizeOf(key: Digest): LayerSize {
    const made = this.#layers.get(key);
    return made === undefined ? this.layout.layerSize(key) : readLayerSize(made);
  }

  /** Where a layer lies now: in the workspace, or in the store. */
  #directoryOf(place: LayerPlace): string {
    const key = this.#keyOf(place) ?? place.diffId;
    const made = this.#layers.get(key);
    return made === undefined ? this.layout.layerDirectory(key) : join(made, 'diff');
  }

  /** Waits for both ends: nothing may still be writing when a failed writer's workspace is removed. */
  async #unpack(
    source: Readable,
    verifier: Verifier,
    directory: string,
    below: readonly string[],
  ): Promise<Unpacked> {
    const unpacking = unpackLayer(verifier, directory, this.#options.limits, below).then(
      (unpacked) => {
        verifier.resume(); // what follows the end of the archive counts for the digest
        return unpacked;
      },
      (error: Error) => {
        verifier.destroy(error);
        throw error;
      },
    );
    const [flow, unpacked] = await Promise.allSettled([pipeline(source, verifier), unpacking]);
    const failures = [flow, unpacked].flatMap((end) => (end.status === 'rejected' ? [end.reason] : []));
    if (unpacked.status === 'rejected' || failures.length > 0) {
      throw failures.find((failure) => failure instanceof UsageError) ?? failures[0];
    }
    return unpacked.value;
  }

  #hasLayer(key: Digest): boolean {
    return this.#layers.has(key) || this.layout.hasLayer(key);
  }

  /** Adds an image whose configuration and layer blobs were added, and unpacks its layers. */
  async addImage(manifest: Buffer, names: readonly string[]): Promise<ImageConfig> {
    const blob = this.addBytes(manifest);
    const what = `manifest "${blob.digest}"`;
    const { config: described, layers, mediaType = MEDIA_TYPE.MANIFEST } = parseManifest(manifest, what);
    for (const { digest } of [blob, described, ...layers]) this.#needed.add(digest);
    const config = parseConfig(await this.#bytes(described), `configuration "${described.digest}"`);
    const diffIds = config.rootfs.diff_ids;
    if (diffIds.length !== layers.length) {
      throw new UsageError(`${what} has ${layers.length} layers, its configuration ${diffIds.length}`);
    }
    if (!this.#isComplete(blob, layers, diffIds)) {
      const keys = placedKeys(diffIds);
      const below: string[] = [];
      for (const [at, diffId] of diffIds.entries()) {
        this.#options.onLayer?.({ number: at + 1, count: diffIds.length });
        const place = { diffId, key: keys[at] as Digest, below: [...below] };
        await this.#addLayer(layers[at] as Descriptor, place);
        below.unshift(this.#directoryOf(place));
      }
    }
    this.#additions.push({ manifest: { mediaType, ...blob }, names });
    return config;
  }

  /** Whether the store has the image with all its parts: then its layers were compared with their diffIDs before. */
  #isComplete({ digest }: Blob, layers: readonly Blob[], diffIds: readonly Digest[]): boolean {
    const isKnown = this.layout.index().manifests.some((entry) => entry.digest === digest);
    const { layout } = this;
    return (
      isKnown &&
      layers.every((layer) => layout.hasBlob(layer)) &&
      layout.layerKeys(diffIds).every((key) => layout.hasLayer(key))
    );
  }

  /** The manifest of a stored image with this configuration; undefined if there is none. */
  manifestOf(config: Digest): Buffer | undefined {
    const [entry] = this.layout.manifestsOf(this.layout.index(), config);
    return entry === undefined ? undefined : this.layout.readBlob(entry.digest);
  }

  /** A small blob as it is; it need not have the size that a manifest says. */
  async #bytes({ digest }: Blob): Promise<Buffer> {
    const path = this.blobPath(digest);
    const { size } = await stat(path);
    if (size > MAX_DOCUMENT_BYTES)
      throw new UsageError(`"${digest}" has ${size} bytes; at most ${MAX_DOCUMENT_BYTES} are read`);
    return readFile(path);
  }

  /** Shows all that was added but the images themselves, in an order that never shows a part without its parts. */
  publish(): void {
    const fd = openSync(this.layout.root, 'r');
    try {
      syncfs(fd); // one call for many files
    } finally {
      closeSync(fd);
    }
    for (const [key, directory] of this.#layers) this.#showLayer(directory, key);
    for (const [digest, path] of this.#blobs) {
      if (this.#needed.has(digest)) showBlob(path, this.layout.blobPath(digest));
    }
    syncDirectory(this.layout.path('layers'));
    syncDirectory(this.layout.path('blobs', 'sha256'));
  }

  /** Another writer may have been faster: its layer is the same. One that is damaged makes way. */
  #showLayer(directory: string, key: Digest): void {
    const target = this.layout.layerPath(key);
    try {
      renameSync(directory, target);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOTDIR') throw error;
      if (!this.layout.hasLayer(key)) exchange(directory, target);
    }
  }
}

/** What is no file makes way. */
function showBlob(path: string, target: string): void {
  if (statSync(target, { throwIfNoEntry: false })?.isDirectory() === true) removePath(target);
  renameSync(path, target);
}

async function* bounded(
  source: AsyncIterable<Buffer>,
  maxBytes: number,
  what: string,
): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const chunk of source) {
    bytes += chunk.length;
    if (bytes > maxBytes)
      throw new UsageError(`${what} is larger than ${maxBytes} bytes; allow more with --max-unpacked`);
    yield chunk;
  }
}

/** Lets a stream flow to its end. */
async function discardAll(source: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of source);
}
