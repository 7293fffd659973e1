/**
 * The files of a store, and how they are read.
 *
 *     oci-layout  index.json  blobs/sha256/HEX     an OCI image layout (image-layout.md); other tools can read it
 *     blobs/sha256/HEX.removed                     a manifest whose image is being removed
 *     layers/HEX/diff  layers/HEX/layer.json       each layer once, unpacked, and what it measures (`layer-keys.ts`)
 *     leases/KIND-ID.json                          who relies on which layers (`leases.ts`)
 *     containers/ID/                               the containers (`container/records/record.ts`)
 *     tmp/                                         what is being built (`workspace.ts`)
 *     lock  index.lock                             held by writers
 *
 * Rule: readers take no lock. A file is complete when it gets its name, and files that an index refers to are added before
 * the index and removed after it; if a file is missing and the index has not changed, the store is damaged. Documents are
 * verified against their digests when they are read, and only regular files are opened: damage is reported, and does not
 * affect other images.
 */
import { createHash } from 'node:crypto';
import { closeSync, existsSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { UsageError } from '../../../fs/index.js';
import { parseDocument } from '../../../fs/input/document.js';
import { openRegular, readRegular, streamRegular } from '../../../fs/input/regular-file.js';
import { quoted } from '../../../fs/input/shown.js';
import { MAX_DOCUMENT_BYTES, parseConfig, parseIndex, parseManifest } from '../manifest.js';
import {
  type Descriptor,
  type Digest,
  type Index,
  LAYER_SIZE,
  type LayerSize,
  type Manifest,
  type StoredImage,
} from '../oci.js';
import { hexOf } from '../reference.js';
import { digestOf } from '../verify.js';
import { EMPTY_INDEX, imagesOf, nameOf, namesOf } from './index-file.js';
import { placedKeys } from './layer-keys.js';

/** Reads layer.json of a layer's directory. Throws an error with the problem. */
export function readLayerSize(directory: string): LayerSize {
  const path = join(directory, 'layer.json');
  return parseDocument(LAYER_SIZE, readRegular(path, MAX_DOCUMENT_BYTES), quoted(path));
}

/** An image that cannot be read. */
export interface DamagedImage {
  readonly manifestDigest: Digest;
  /** Full names. */
  readonly names: readonly string[];
  readonly problem: string;
}

export interface Inventory {
  /** In the order they were added. */
  readonly images: readonly StoredImage[];
  readonly damaged: readonly DamagedImage[];
}

/** A part of the store is missing or has been changed. */
export class Damage extends UsageError {
  /** @param problem the message without the store and the advice */
  constructor(
    message: string,
    readonly problem: string,
  ) {
    super(message);
  }
}

/** Suffix of a manifest's blob whose image is being removed, and is no longer visible. */
const REMOVED = '.removed';
const CHUNK = 1024 * 1024;

export class Layout {
  readonly root: string;
  /** Image IDs by manifest; they never change. */
  readonly #ids = new Map<Digest, Digest>();
  /** Blobs that were verified. */
  readonly #verified = new Set<Digest>();

  constructor(root: string) {
    this.root = root;
  }

  path(...names: readonly string[]): string {
    return join(this.root, ...names);
  }

  blobPath(digest: Digest): string {
    return this.path('blobs', 'sha256', hexOf(digest));
  }

  layerPath(diffId: Digest): string {
    return this.path('layers', hexOf(diffId));
  }

  /** The unpacked layer, whether it is there or not. */
  layerDirectory(diffId: Digest): string {
    return join(this.layerPath(diffId), 'diff');
  }

  /** Whether a blob exists and matches its digest. */
  hasBlob({ digest, size }: { readonly digest: Digest; readonly size: number }): boolean {
    if (this.#verified.has(digest)) return true;
    if (statSync(this.blobPath(digest), { throwIfNoEntry: false })?.size !== size) return false;
    if (this.problemOf(digest) !== undefined) return false;
    this.#verified.add(digest);
    return true;
  }

  /** The problem of a blob; undefined if it matches its digest. */
  problemOf(digest: Digest): string | undefined {
    let fd: number;
    try {
      fd = openRegular(this.blobPath(digest));
    } catch (error) {
      return isMissing(error) ? 'is missing' : (error as Error).message;
    }
    try {
      const hash = createHash('sha256');
      const chunk = Buffer.allocUnsafe(CHUNK);
      for (let count = readSync(fd, chunk); count > 0; count = readSync(fd, chunk))
        hash.update(chunk.subarray(0, count));
      const found = `sha256:${hash.digest('hex')}`;
      return found === digest ? undefined : `has been changed: its digest is "${found}"`;
    } catch (error) {
      return `cannot be read: ${(error as NodeJS.ErrnoException).code}`;
    } finally {
      closeSync(fd);
    }
  }

  /** Whether a layer is there with what it measures. */
  hasLayer(key: Digest): boolean {
    try {
      this.layerSize(key);
      return existsSync(this.layerDirectory(key));
    } catch {
      return false;
    }
  }

  /** Under which keys the layers of an image lie. */
  layerKeys(diffIds: readonly Digest[]): Digest[] {
    return placedKeys(diffIds).map((placed, at) =>
      existsSync(this.layerPath(placed)) ? placed : (diffIds[at] as Digest),
    );
  }

  /** Under which keys the layers of the image with this ID lie; undefined if its configuration cannot be read. */
  layerKeysOf(id: Digest): Digest[] | undefined {
    try {
      return this.layerKeys(parseConfig(this.readBlob(id), `configuration "${id}"`).rootfs.diff_ids);
    } catch (error) {
      if (error instanceof UsageError) return undefined;
      throw error;
    }
  }

  /** Throws `Damage`. */
  layerSize(key: Digest): LayerSize {
    try {
      return readLayerSize(this.layerPath(key));
    } catch (error) {
      const problem = isMissing(error) ? 'is missing' : 'cannot be read';
      throw this.damage(`"layer.json" of layer "${key}"`, problem);
    }
  }

  /** The error about a damaged part of the store. */
  damage(what: string, problem: string): Damage {
    return new Damage(
      `the store "${this.root}" is damaged: ${what} ${problem}; load its image again, or run "tscr system check --repair"`,
      problem,
    );
  }

  /** A document. Throws `Damage` if it is missing or changed. */
  readBlob(digest: Digest): Buffer {
    let bytes: Buffer;
    try {
      bytes = readRegular(this.blobPath(digest), MAX_DOCUMENT_BYTES);
    } catch (error) {
      throw this.damage(`"${digest}"`, isMissing(error) ? 'is missing' : (error as Error).message);
    }
    const found = digestOf(bytes);
    if (found !== digest) throw this.damage(`"${digest}"`, `has been changed: its digest is "${found}"`);
    return bytes;
  }

  /** A blob's bytes as they are. Throws `Damage`. */
  openBlob(digest: Digest): Readable {
    try {
      return streamRegular(this.blobPath(digest));
    } catch (error) {
      throw this.damage(`"${digest}"`, isMissing(error) ? 'is missing' : (error as Error).message);
    }
  }

  // --- removals that are under way

  /** Where a manifest lies while its image is being removed. */
  removedPath(digest: Digest): string {
    return this.blobPath(digest) + REMOVED;
  }

  /** The manifests whose images are being removed. */
  removals(): Digest[] {
    return namesIn(this.path('blobs', 'sha256')).flatMap((name): Digest[] =>
      name.endsWith(REMOVED) ? [`sha256:${name.slice(0, -REMOVED.length)}`] : [],
    );
  }

  // --- the index

  /** The index as bytes; undefined before the first image. Throws `Damage`. */
  #indexBytes(): Buffer | undefined {
    const path = this.path('index.json');
    try {
      return readRegular(path, MAX_DOCUMENT_BYTES);
    } catch (error) {
      if (!isMissing(error)) throw this.#indexDamage((error as Error).message);
      if (namesIn(this.path('blobs', 'sha256')).length > 0 && existsSync(this.path('oci-layout')))
        throw this.#indexDamage('is missing');
      return undefined;
    }
  }

  #indexDamage(problem: string): Damage {
    return new Damage(
      `the store "${this.root}" is damaged: "index.json" ${problem}; run "tscr system check --repair"`,
      problem,
    );
  }

  /** The index without the images that are being removed. Throws `Damage`. */
  index(): Index {
    const bytes = this.#indexBytes();
    if (bytes === undefined) return EMPTY_INDEX;
    const index = this.#parseIndex(bytes);
    const manifests = index.manifests.filter(({ digest }) => !existsSync(this.removedPath(digest)));
    return { ...index, manifests };
  }

  #parseIndex(bytes: Buffer): Index {
    try {
      return parseIndex(bytes, 'it');
    } catch (error) {
      throw this.#indexDamage(`cannot be read: ${(error as Error).message}`);
    }
  }

  /** Runs `read` with one consistent state of the index, even if other processes change it. */
  consistently<T>(read: (index: Index) => T): T {
    for (;;) {
      const before = this.index();
      try {
        return read(before);
      } catch (error) {
        if (!(error instanceof Damage) || JSON.stringify(before) === JSON.stringify(this.index()))
          throw error;
      }
    }
  }

  /** All images, those that cannot be read too. */
  inventory(): Inventory {
    for (;;) {
      const index = this.index();
      const found = this.#inventoryOf(index);
      const isSettled = JSON.stringify(index) === JSON.stringify(this.index());
      if (found.damaged.length === 0 || isSettled) return found;
    }
  }

  #inventoryOf(index: Index): Inventory {
    const images: StoredImage[] = [];
    const damaged: DamagedImage[] = [];
    for (const entry of imagesOf(index)) {
      try {
        const image = this.image(index, entry);
        for (const key of image.layerKeys) this.layerSize(key);
        images.push(image);
      } catch (error) {
        if (!(error instanceof UsageError)) throw error;
        const manifestDigest = entry.digest;
        damaged.push({ manifestDigest, names: namesOf(index, manifestDigest), problem: error.message });
      }
    }
    return { images, damaged };
  }

  manifest({ digest }: Pick<Descriptor, 'digest'>): Manifest {
    return parseManifest(this.readBlob(digest), `manifest "${digest}"`);
  }

  /** The image ID that a manifest leads to; undefined if it cannot be read. */
  idOf({ digest }: Descriptor): Digest | undefined {
    const known = this.#ids.get(digest);
    if (known !== undefined) return known;
    try {
      const id = this.manifest({ digest }).config.digest;
      this.#ids.set(digest, id);
      return id;
    } catch (error) {
      if (error instanceof UsageError) return undefined;
      throw error;
    }
  }

  /** Every manifest of the index that leads to an image ID: the same layers may be compressed in several ways. */
  manifestsOf(index: Index, id: Digest): Descriptor[] {
    return imagesOf(index).filter((entry) => this.idOf(entry) === id);
  }

  /** The whole image that a descriptor of the index means, with all names that its ID has. Throws `UsageError`. */
  image(index: Index, entry: Descriptor): StoredImage {
    const { digest } = entry;
    const manifest = this.manifest(entry);
    const id = manifest.config.digest;
    const config = parseConfig(this.readBlob(id), `configuration "${id}"`);
    const layerKeys = this.layerKeys(config.rootfs.diff_ids);
    const layers = layerKeys.map((key) => this.layerDirectory(key));
    for (const [at, layer] of layers.entries()) {
      if (!existsSync(layer)) throw this.damage(`layer "${layerKeys[at]}"`, 'is missing');
    }
    return {
      id,
      manifest,
      manifestDigest: digest,
      config,
      names: this.manifestsOf(index, id)
        .flatMap((same) => namesOf(index, same.digest))
        .sort(),
      layerKeys,
      layers,
    };
  }

  /** The manifest that has a full name; undefined if none has. */
  named(index: Index, full: string): Descriptor | undefined {
    return index.manifests.find((entry) => nameOf(entry) === full);
  }
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';

export const namesIn = (directory: string): string[] => {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
};
