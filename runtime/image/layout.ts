/**
 * The files of a store, and how they are read.
 *
 *     oci-layout  index.json  blobs/sha256/HEX     an OCI image layout (image-layout.md); other tools can read it
 *     layers/HEX/diff  layers/HEX/layer.json       each layer once, unpacked, under its diffID, and what it measures
 *     containers/ID/                               the containers (`container/record.ts`)
 *     tmp/                                         what is being built (`workspace.ts`)
 *     lock  index.lock                             held by writers
 *
 * Rule: readers take no lock. Every file is whole from the moment it has its name, and what an index names was there
 * before the index and goes after it; a reader that misses something although the index stayed found a damaged store.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../../fs/index.js';
import { parseDocument } from '../../fs/input/document.js';
import { quoted } from '../../fs/input/shown.js';
import { EMPTY_INDEX, imagesOf, namesOf } from './index-file.js';
import { parseConfig, parseIndex, parseManifest } from './manifest.js';
import {
  type Descriptor,
  type Digest,
  type Index,
  LAYER_SIZE,
  type LayerSize,
  type StoredImage,
} from './oci.js';
import { hexOf } from './reference.js';

class MissingBlob extends UsageError {}

export class Layout {
  readonly root: string;
  /** What manifests lead to never changes. */
  readonly #ids = new Map<Digest, Digest>();

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

  hasBlob({ digest, size }: { readonly digest: Digest; readonly size: number }): boolean {
    return statSync(this.blobPath(digest), { throwIfNoEntry: false })?.size === size;
  }

  hasLayer(diffId: Digest): boolean {
    return existsSync(this.layerPath(diffId));
  }

  layerSize(diffId: Digest): LayerSize {
    const path = join(this.layerPath(diffId), 'layer.json');
    return parseDocument(LAYER_SIZE, readFileSync(path), quoted(path));
  }

  readBlob(digest: Digest): Buffer {
    const bytes = readIfAny(this.blobPath(digest));
    if (bytes === undefined) {
      throw new MissingBlob(
        `the store "${this.root}" is damaged: "${digest}" is missing; load its image again`,
      );
    }
    return bytes;
  }

  /** The index as bytes; undefined before the first image. */
  #indexBytes(): Buffer | undefined {
    return readIfAny(this.path('index.json'));
  }

  index(): Index {
    const bytes = this.#indexBytes();
    return bytes === undefined ? EMPTY_INDEX : parseIndex(bytes, `"${this.path('index.json')}"`);
  }

  /** Reads what belongs to one state of the index, although others change it. */
  consistently<T>(read: (index: Index) => T): T {
    for (;;) {
      const before = this.#indexBytes() ?? Buffer.alloc(0);
      try {
        return read(this.index());
      } catch (error) {
        const after = this.#indexBytes() ?? Buffer.alloc(0);
        if (!(error instanceof MissingBlob) || before.equals(after)) throw error;
      }
    }
  }

  /** The image ID that a manifest leads to. */
  idOf({ digest }: Descriptor): Digest {
    const known = this.#ids.get(digest);
    if (known !== undefined) return known;
    const id = parseManifest(this.readBlob(digest), `manifest "${digest}"`).config.digest;
    this.#ids.set(digest, id);
    return id;
  }

  /** Every manifest of the index that leads to an image ID: the same layers may be compressed in several ways. */
  manifestsOf(index: Index, id: Digest): Descriptor[] {
    return imagesOf(index).filter((entry) => this.idOf(entry) === id);
  }

  /** The whole image that a descriptor of the index means, with all names that its ID has. */
  image(index: Index, entry: Descriptor): StoredImage {
    const { digest } = entry;
    const manifest = parseManifest(this.readBlob(digest), `manifest "${digest}"`);
    const id = this.idOf(entry);
    const config = parseConfig(this.readBlob(id), `configuration "${id}"`);
    return {
      id,
      manifest,
      manifestDigest: digest,
      config,
      names: this.manifestsOf(index, id)
        .flatMap((same) => namesOf(index, same.digest))
        .sort(),
      layers: config.rootfs.diff_ids.map((diffId) => this.layerDirectory(diffId)),
    };
  }
}

function readIfAny(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw new UsageError(`"${path}" cannot be read: ${code}`);
  }
}
