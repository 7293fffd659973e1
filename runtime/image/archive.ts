/**
 * `load`: images out of an archive.
 *
 * Rules: a file with `oci-layout` and `index.json` is an OCI layout, also where Docker's `manifest.json` lies beside
 * (Docker 25 and later); one with `manifest.json` alone is a docker archive, whose images get a manifest made of what
 * it says. Configurations keep their bytes, and with them their IDs. Compare moby's image/tarexport/load.go, its
 * image/spec/v1.2.md, and image-layout.md.
 */
import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { Readable } from 'node:stream';
import { UsageError } from '../../fs/index.js';
import { type ArchiveFiles, DirectoryFiles, readArchive } from './archive-files.js';
import type { Compression } from './compression.js';
import { FULL_NAME_ANNOTATION, nameOf } from './index-file.js';
import { openInput } from './input.js';
import { type ArchivedImage, parseArchiveManifest, parseIndex, parseManifest } from './manifest.js';
import { type Descriptor, type Digest, type Manifest, MEDIA_TYPE } from './oci.js';
import { forThisPlatform } from './platform.js';
import { formatReference, hexOf, parseReference, parseTag } from './reference.js';
import type { Store } from './store.js';
import type { Blob, WriteOptions, Writer } from './writer.js';

export interface LoadedImage {
  readonly id: Digest;
  /** Full names that the archive gives it. */
  readonly names: readonly string[];
}

export interface LoadOptions extends WriteOptions {
  /** Called with the number of bytes of the archive that were read. */
  readonly onBytes?: (bytes: number) => void;
}

/** What OCI has a media type for; a layer of a docker archive that is compressed otherwise is kept uncompressed. */
const LAYER_TYPE: Readonly<Partial<Record<Compression, string>>> = {
  none: MEDIA_TYPE.LAYER,
  gzip: MEDIA_TYPE.LAYER_GZIP,
  zstd: MEDIA_TYPE.LAYER_ZSTD,
};

/** Adds the images of an archive, a file or a directory, to the store: all of them or none. Throws `UsageError`. */
export async function loadPath(
  store: Store,
  path: string,
  options: LoadOptions = {},
): Promise<LoadedImage[]> {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw new UsageError(`"${path}" does not exist`);
  const title = basename(path).replace(/\.(tar|tgz|tzst)?(\.\w+)?$/, '');
  if (!stat.isDirectory()) return loadStream(store, openInput(path), options, title);
  return store.write(
    async (writer) => new Loader(new DirectoryFiles(path, writer), writer, title).load(),
    options,
  );
}

/** The same for a stream. @param title what the images are called where the archive knows only a tag */
export async function loadStream(
  store: Store,
  stream: Readable,
  options: LoadOptions = {},
  title = '',
): Promise<LoadedImage[]> {
  return store.write(async (writer) => {
    const files = await readArchive(counted(stream, options.onBytes), writer, options.limits);
    return new Loader(files, writer, title).load();
  }, options);
}

function counted(stream: Readable, onBytes: LoadOptions['onBytes']): Readable {
  if (onBytes === undefined) return stream;
  return Readable.from(count(stream, onBytes), { objectMode: false });
}

async function* count(stream: Readable, onBytes: (bytes: number) => void): AsyncGenerator<Buffer> {
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    onBytes(chunk.length);
    yield chunk;
  }
}

class Loader {
  readonly #files: ArchiveFiles;
  readonly #writer: Writer;
  readonly #title: string;

  constructor(files: ArchiveFiles, writer: Writer, title: string) {
    this.#files = files;
    this.#writer = writer;
    this.#title = title.toLowerCase();
  }

  async load(): Promise<LoadedImage[]> {
    if (this.#files.has('oci-layout') && this.#files.has('index.json')) return this.#layout();
    if (this.#files.has('manifest.json')) return this.#dockerArchive();
    throw new UsageError('this is no image archive: it has neither "manifest.json" nor "index.json"');
  }

  async #dockerArchive(): Promise<LoadedImage[]> {
    const loaded: LoadedImage[] = [];
    for (const image of parseArchiveManifest(await this.#files.document('manifest.json'))) {
      const names = image.names.map((name) => formatReference(parseTag(name)));
      const config = await this.#files.blob(image.config);
      const manifest = this.#writer.manifestOf(config.digest) ?? (await this.#manifest(image, config));
      await this.#writer.addImage(manifest, names);
      loaded.push({ id: config.digest, names });
    }
    return loaded;
  }

  /** A manifest for an image of a docker archive, which has none. The same image always gets the same one. */
  async #manifest({ layers }: ArchivedImage, config: Blob): Promise<Buffer> {
    const described: Descriptor[] = [];
    for (const name of layers) {
      const blob = await this.#files.blob(name);
      const mediaType = LAYER_TYPE[await this.#writer.compressionOf(blob)];
      if (mediaType !== undefined) described.push({ mediaType, ...blob });
      else described.push({ mediaType: MEDIA_TYPE.LAYER, ...(await this.#writer.addUncompressed(blob)) });
    }
    return encodeManifest({ mediaType: MEDIA_TYPE.CONFIG, ...config }, described);
  }

  async #layout(): Promise<LoadedImage[]> {
    const index = parseIndex(await this.#files.document('index.json'), 'index.json');
    const images = new Map<string, Descriptor[]>();
    for (const entry of index.manifests) {
      const key = this.#nameOf(entry) ?? entry.digest;
      images.set(key, [...(images.get(key) ?? []), entry]);
    }
    const loaded = new Map<Digest, LoadedImage>();
    for (const [what, variants] of images) {
      const only = variants.length === 1 ? variants[0] : undefined;
      const chosen = only ?? forThisPlatform(variants, `"${what}"`);
      const { id, names } = await this.#image(chosen, what);
      loaded.set(id, { id, names: [...(loaded.get(id)?.names ?? []), ...names] });
    }
    return [...loaded.values()];
  }

  /** The image that a descriptor leads to, through an index of platforms if there is one. */
  async #image(entry: Descriptor, what: string): Promise<LoadedImage> {
    if (entry.mediaType === MEDIA_TYPE.INDEX) {
      const index = parseIndex(await this.#document(entry.digest), `index "${entry.digest}"`);
      const chosen = forThisPlatform(index.manifests, `"${what}"`);
      if (chosen.mediaType !== MEDIA_TYPE.MANIFEST)
        throw new UsageError(`"${what}" leads to "${chosen.mediaType}", which is no image`);
      const { annotations } = entry;
      return this.#image({ ...chosen, ...(annotations && { annotations }) }, what);
    }
    const bytes = await this.#document(entry.digest);
    const manifest = parseManifest(bytes, `manifest "${entry.digest}"`);
    for (const blob of [manifest.config, ...manifest.layers]) await this.#blob(blob);
    const name = this.#nameOf(entry);
    const names = name === undefined ? [] : [name];
    await this.#writer.addImage(bytes, names);
    return { id: manifest.config.digest, names };
  }

  async #document(digest: Digest): Promise<Buffer> {
    return this.#files.document(blobName(digest));
  }

  async #blob({ digest, size }: Descriptor): Promise<void> {
    if (this.#writer.hasBlob({ digest, size })) return;
    const kept = await this.#files.blob(blobName(digest));
    if (kept.size !== size)
      throw new UsageError(`"${digest}" has ${kept.size} bytes, not the expected ${size}`);
  }

  /** The full name of a layout's image. What is only a tag follows the archive's own name. */
  #nameOf(entry: Descriptor): string | undefined {
    const name = entry.annotations?.[FULL_NAME_ANNOTATION] ?? nameOf(entry);
    if (name === undefined) return undefined;
    const isTag = !/[/:@]/.test(name);
    try {
      return formatReference(parseTag(isTag ? `${parseReference(this.#title).path}:${name}` : name));
    } catch {
      return undefined; // the annotation is free text
    }
  }
}

const blobName = (digest: Digest): string => `blobs/sha256/${hexOf(digest)}`;

/** The bytes of a new manifest. */
export function encodeManifest(config: Descriptor, layers: readonly Descriptor[]): Buffer {
  const manifest: Manifest = { schemaVersion: 2, mediaType: MEDIA_TYPE.MANIFEST, config, layers };
  return Buffer.from(JSON.stringify(manifest));
}
