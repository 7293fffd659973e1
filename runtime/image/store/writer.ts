/**
 * Adds images to a store: everything is built and verified in a workspace, and renamed into the store at the end.
 *
 * Rules: a file gets a name in the store only when it is complete, verified and synced; the index comes last, so an image
 * has all its parts. Files that a killed writer has renamed are content-addressed and correct: the next writer uses them,
 * or they are removed as unused. Blobs are stored byte by byte.
 */
import { closeSync, mkdirSync, openSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { UsageError } from '../../../fs/index.js';
import { syncfs } from '../../../fs/sys/syscalls.js';
import { decompress } from '../layer/compression.js';
import { hasUsualRoot } from '../layer/layers-below.js';
import { type Unpacked, type UnpackLimits, unpackLayer } from '../layer/unpack.js';
import type { Image } from '../manifest.js';
import type { Blob, Descriptor, Digest, LayerSize } from '../oci.js';
import type { Content, ImageSink } from '../sink.js';
import { Verifier } from '../verify.js';
import { placedKeys } from './layer-keys.js';
import { type Layout, readLayerSize } from './layout.js';
import { Spool } from './spool.js';
import { exchange, removePath, syncDirectory, type Workspace } from './workspace.js';

export interface WriteOptions {
  readonly limits?: Partial<UnpackLimits>;
  /** Called before a layer is unpacked. */
  readonly onLayer?: (layer: { readonly number: number; readonly count: number }) => void;
}

const DIRECTORY = 0o755;

/** A new image with its names. */
interface Addition {
  readonly manifest: Descriptor;
  readonly names: readonly string[];
}

/** A layer in an image. */
interface LayerPlace {
  readonly diffId: Digest;
  /** Its key if it depends on the layers below (`layer-keys.ts`). */
  readonly key: Digest;
  /** The directories of the layers below, the top one first. */
  readonly below: readonly string[];
}

/** The store as a sink. */
export class Writer implements ImageSink {
  readonly layout: Layout;
  readonly blobs: Spool;
  readonly #workspace: Workspace;
  readonly #options: WriteOptions;
  readonly #layers = new Map<Digest, string>();
  /** Blobs, each with a diffID that what it holds was compared with. */
  readonly #compared = new Set<string>();
  /** Parts of images; other files of an archive are not stored. */
  readonly #needed = new Set<Digest>();
  readonly #additions: Addition[] = [];

  constructor(layout: Layout, workspace: Workspace, options: WriteOptions = {}) {
    this.layout = layout;
    this.blobs = new Spool(layout, workspace);
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

  has(blob: Blob): boolean {
    return this.blobs.has(blob);
  }

  async blob(blob: Blob, content: Content): Promise<void> {
    await this.blobs.addVerified(blob, await content.open());
  }

  /** Unpacks a layer, unless it exists. Throws `UsageError` if the blob does not match the diffID. */
  async #addLayer(blob: Blob, place: LayerPlace): Promise<void> {
    const { diffId } = place;
    const known = this.#keyOf(place);
    const pair = `${blob.digest} ${diffId}`;
    const isCompared = blob.digest === diffId || this.#compared.has(pair);
    if (known !== undefined && isCompared) return;
    const expected = { digest: diffId, what: `layer "${blob.digest}", unpacked,` };
    const verifier = new Verifier(expected);
    const { stream: source } = await decompress(this.blobs.stream(blob.digest), `layer "${blob.digest}"`);
    if (known !== undefined) {
      await pipeline(source, verifier, discardAll);
      this.#compared.add(pair);
      return;
    }
    const directory = this.temporary();
    mkdirSync(join(directory, 'diff'), { recursive: true, mode: DIRECTORY });
    const unpacked = await this.#unpack(source, verifier, join(directory, 'diff'), place.below);
    const { entries, bytes, describesRoot, leansOnBelow } = unpacked;
    const size: LayerSize = { bytes, entries, tar: verifier.size, describesRoot };
    writeFileSync(join(directory, 'layer.json'), JSON.stringify(size));
    this.#layers.set(leansOnBelow ? place.key : diffId, directory);
    this.#compared.add(pair);
  }

  /**
   * The key of an existing unpacked layer; undefined if there is none. A layer without an entry for its root can be shared
   * under its diffID only if the root below has default attributes.
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

  /** The current directory of a layer: in the workspace, or in the store. */
  #directoryOf(place: LayerPlace): string {
    const key = this.#keyOf(place) ?? place.diffId;
    const made = this.#layers.get(key);
    return made === undefined ? this.layout.layerDirectory(key) : join(made, 'diff');
  }

  /** Waits for reading and unpacking to end, so that nothing writes to the workspace when it is removed. */
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

  /** Unpacks an image's layers; its blobs are here. Throws `UsageError` if they do not hold what its configuration says. */
  async image({ bytes, descriptor, manifest, config }: Image, names: readonly string[]): Promise<void> {
    this.blobs.addBytes(bytes);
    const { layers } = manifest;
    for (const { digest } of [descriptor, manifest.config, ...layers]) this.#needed.add(digest);
    const diffIds = config.rootfs.diff_ids;
    if (!this.#isComplete(descriptor, layers, diffIds)) {
      const keys = placedKeys(diffIds);
      const below: string[] = [];
      for (const [at, diffId] of diffIds.entries()) {
        this.#options.onLayer?.({ number: at + 1, count: diffIds.length });
        const place = { diffId, key: keys[at] as Digest, below: [...below] };
        await this.#addLayer(layers[at] as Descriptor, place);
        below.unshift(this.#directoryOf(place));
      }
    }
    this.#additions.push({ manifest: descriptor, names });
  }

  /** Whether the store has the image with all its parts, whose layers were verified when they were added. */
  #isComplete({ digest }: Blob, layers: readonly Blob[], diffIds: readonly Digest[]): boolean {
    const isKnown = this.layout.index().manifests.some((entry) => entry.digest === digest);
    const { layout } = this;
    return (
      isKnown &&
      layers.every((layer) => layout.hasBlob(layer)) &&
      layout.layerKeys(diffIds).every((key) => layout.hasLayer(key))
    );
  }

  /** The manifest of a stored image with this configuration and all its blobs; undefined if there is none. */
  manifestOf(config: Digest): Buffer | undefined {
    const whole = this.layout.manifestsOf(this.layout.index(), config).find((entry) => {
      const manifest = this.layout.manifest(entry);
      return [manifest.config, ...manifest.layers].every((blob) => this.has(blob));
    });
    return whole && this.layout.readBlob(whole.digest);
  }

  /** Renames layers and blobs into the store, parts before what refers to them; the index is updated later. */
  publish(): void {
    const fd = openSync(this.layout.root, 'r');
    try {
      syncfs(fd); // one call for many files
    } finally {
      closeSync(fd);
    }
    for (const [key, directory] of this.#layers) this.#showLayer(directory, key);
    for (const [digest, { path }] of this.blobs.files()) {
      if (this.#needed.has(digest)) showBlob(path, this.layout.blobPath(digest));
    }
    syncDirectory(this.layout.path('layers'));
    syncDirectory(this.layout.path('blobs', 'sha256'));
  }

  /** Renames a layer into the store. One of another writer is equal and is used; a damaged one is replaced. */
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

/** Renames a blob into the store; an entry that is not a file is removed. */
function showBlob(path: string, target: string): void {
  if (statSync(target, { throwIfNoEntry: false })?.isDirectory() === true) removePath(target);
  renameSync(path, target);
}

/** Lets a stream flow to its end. */
async function discardAll(source: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of source);
}
