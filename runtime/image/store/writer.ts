/**
 * Adding images to a store: everything is built and verified in a workspace, and shown by renames at the end.
 *
 * Rules: nothing has a name in the store before it is whole, verified and on the disk; the index comes last, so an
 * image is there with all its parts or not at all. What a killed writer has shown already is content-addressed: it
 * is right, and used by the next writer or swept with the rest. Blobs keep the bytes they came with.
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

/** The store as a sink. */
export class Writer implements ImageSink {
  readonly layout: Layout;
  readonly blobs: Spool;
  readonly #workspace: Workspace;
  readonly #options: WriteOptions;
  readonly #layers = new Map<Digest, string>();
  /** Blobs, each with a diffID that what it holds was compared with. */
  readonly #compared = new Set<string>();
  /** What images are made of; other files of an archive are not kept. */
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

  /** Unpacks a layer that is not there yet. Throws `UsageError` if the blob does not hold the layer that it should. */
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

  /** The manifest of a stored image with this configuration and all its blobs; undefined if there is none. */
  manifestOf(config: Digest): Buffer | undefined {
    const whole = this.layout.manifestsOf(this.layout.index(), config).find((entry) => {
      const manifest = this.layout.manifest(entry);
      return [manifest.config, ...manifest.layers].every((blob) => this.has(blob));
    });
    return whole && this.layout.readBlob(whole.digest);
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
    for (const [digest, { path }] of this.blobs.files()) {
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

/** Lets a stream flow to its end. */
async function discardAll(source: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of source);
}
