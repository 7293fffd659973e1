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
import { UsageError } from '../../../fs/index.js';
import { quoted } from '../../../fs/input/shown.js';
import type { Compression } from '../layer/compression.js';
import {
  type ArchivedImage,
  artifactTypeOf,
  checkLayoutVersion,
  isForeign,
  parseAnyManifest,
  parseArchiveManifest,
  parseIndex,
  parseManifest,
} from '../manifest.js';
import { type Descriptor, type Digest, type Manifest, MEDIA_TYPE } from '../oci.js';
import { forThisPlatform, otherPlatform } from '../platform.js';
import { familiar, formatReference, hexOf, parseReference, parseTag } from '../reference.js';
import { FULL_NAME_ANNOTATION, nameOf } from '../store/index-file.js';
import type { Store } from '../store/store.js';
import type { Blob, WriteOptions, Writer } from '../store/writer.js';
import { Check } from '../verify.js';
import { type ArchiveFiles, DirectoryFiles, readArchive } from './archive-files.js';
import { openInput } from './input.js';

export interface LoadedImage {
  readonly id: Digest;
  /** Full names that the archive gives it. */
  readonly names: readonly string[];
}

export interface LoadOptions extends WriteOptions {
  /** Called with the number of bytes of the archive that were read. */
  readonly onBytes?: (bytes: number) => void;
  /** Told what was left out, and what will not run here; one line each. */
  readonly onWarning?: (message: string) => void;
}

/** What OCI has a media type for; a layer of a docker archive that is compressed otherwise is kept uncompressed. */
const LAYER_TYPE: Readonly<Partial<Record<Compression, string>>> = {
  none: MEDIA_TYPE.LAYER,
  gzip: MEDIA_TYPE.LAYER_GZIP,
  zstd: MEDIA_TYPE.LAYER_ZSTD,
};

const DOCUMENT_TYPES: readonly string[] = [MEDIA_TYPE.INDEX, MEDIA_TYPE.MANIFEST];
/** Indexes inside each other. */
const MAX_INDEXES = 8;
/** The platform of what runs nowhere. */
const UNKNOWN = 'unknown';

interface FoundImage {
  /** Whose annotations name the image. */
  readonly entry: Descriptor;
  /** The manifest. */
  readonly bytes: Buffer;
}

/** What a descriptor leads to: an image, or something of another type. */
type Found = FoundImage | { readonly artifact: string };

/** Adds the images of an archive, a file or a directory, to the store: all of them or none. Throws `UsageError`. */
export async function loadPath(
  store: Store,
  path: string,
  options: LoadOptions = {},
): Promise<LoadedImage[]> {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw new UsageError(`${quoted(path)} does not exist`);
  const title = basename(path).replace(/\.(tar|tgz|tzst)?(\.\w+)?$/, '');
  if (!stat.isDirectory()) return loadStream(store, openInput(path), options, title);
  return store.write(
    async (writer) => new Loader(new DirectoryFiles(path, writer), writer, title, options).load(),
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
    return new Loader(files, writer, title, options).load();
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
  readonly #warn: (message: string) => void;

  constructor(files: ArchiveFiles, writer: Writer, title: string, { onWarning }: LoadOptions) {
    this.#files = files;
    this.#writer = writer;
    this.#title = title.toLowerCase();
    this.#warn = onWarning ?? (() => {});
  }

  async load(): Promise<LoadedImage[]> {
    if (this.#files.has('oci-layout') && this.#files.has('index.json')) return this.#layout();
    if (this.#files.has('manifest.json')) return this.#dockerArchive();
    throw new UsageError('this is no image archive: it has neither "manifest.json" nor "index.json"');
  }

  async #dockerArchive(): Promise<LoadedImage[]> {
    const loaded: LoadedImage[] = [];
    for (const image of parseArchiveManifest(await this.#files.document('manifest.json'))) {
      const names = image.RepoTags.map((name) => formatReference(parseTag(name)));
      const config = await this.#files.blob(image.Config);
      const manifest = this.#writer.manifestOf(config.digest) ?? (await this.#manifest(image, config));
      await this.#add(manifest, names, config.digest);
      loaded.push({ id: config.digest, names });
    }
    return loaded;
  }

  /** A manifest for an image of a docker archive, which has none. The same image always gets the same one. */
  async #manifest({ Layers }: ArchivedImage, config: Blob): Promise<Buffer> {
    const described: Descriptor[] = [];
    for (const name of Layers) {
      const blob = await this.#files.blob(name);
      const mediaType = LAYER_TYPE[await this.#writer.compressionOf(blob)];
      if (mediaType !== undefined) described.push({ mediaType, ...blob });
      else described.push({ mediaType: MEDIA_TYPE.LAYER, ...(await this.#writer.addUncompressed(blob)) });
    }
    return encodeManifest({ mediaType: MEDIA_TYPE.CONFIG, ...config }, described);
  }

  async #layout(): Promise<LoadedImage[]> {
    checkLayoutVersion(await this.#files.document('oci-layout'));
    const index = parseIndex(await this.#files.document('index.json'), 'index.json');
    const images = new Map<string, Descriptor[]>();
    for (const entry of index.manifests) {
      const key = this.#nameOf(entry) ?? entry.digest;
      images.set(key, [...(images.get(key) ?? []), entry]);
    }
    const loaded = new Map<Digest, LoadedImage>();
    const others: string[] = [];
    for (const [what, variants] of images) {
      const only = variants.length === 1 ? variants : forThisPlatform(variants, quoted(what));
      const found = await this.#first(only, what);
      if ('artifact' in found) {
        others.push(`${quoted(what)} is ${quoted(found.artifact)}`);
        continue;
      }
      const { id, names } = await this.#image(found, what);
      loaded.set(id, { id, names: [...(loaded.get(id)?.names ?? []), ...names] });
    }
    if (loaded.size === 0 && others.length > 0)
      throw new UsageError(`there is no image in the layout: ${others.join(', ')}`);
    for (const other of others) this.#warn(`skipped what is no image: ${other}`);
    return [...loaded.values()];
  }

  /** The first image among what descriptors lead to. */
  async #first(entries: readonly Descriptor[], what: string, depth = 0): Promise<Found> {
    let found: Found = { artifact: 'nothing' };
    for (const entry of entries) {
      found = await this.#find(entry, what, depth);
      if ('bytes' in found) return found;
    }
    return found;
  }

  /** What a descriptor leads to, through indexes of platforms if there are some. */
  async #find(entry: Descriptor, what: string, depth: number): Promise<Found> {
    const { mediaType, digest } = entry;
    if (!DOCUMENT_TYPES.includes(mediaType)) return { artifact: mediaType };
    if (depth > MAX_INDEXES) throw new UsageError(`${quoted(what)} lies in more than ${MAX_INDEXES} indexes`);
    const bytes = await this.#document(entry);
    if (mediaType !== MEDIA_TYPE.INDEX) {
      const manifest = parseAnyManifest(bytes, `manifest "${digest}"`);
      const artifact = artifactTypeOf(manifest);
      return artifact === undefined ? { entry, bytes } : { artifact };
    }
    const { manifests } = parseIndex(bytes, `index "${digest}"`);
    const here = forThisPlatform(
      manifests.filter((inner) => !isAboutImage(inner)),
      quoted(what),
    );
    const found = await this.#first(here, what, depth + 1);
    return 'bytes' in found ? { ...found, entry } : found; // the name is at the outermost
  }

  async #image({ entry, bytes }: FoundImage, what: string): Promise<LoadedImage> {
    const { config, layers } = parseManifest(bytes, `manifest of ${quoted(what)}`);
    for (const blob of [config, ...layers]) await this.#blob(blob);
    const name = this.#nameOf(entry);
    const names = name === undefined ? [] : [name];
    await this.#add(bytes, names, what);
    return { id: config.digest, names };
  }

  async #add(manifest: Buffer, names: readonly string[], what: string): Promise<void> {
    const difference = otherPlatform(await this.#writer.addImage(manifest, names));
    const [name] = names;
    if (difference !== undefined)
      this.#warn(`${quoted(name === undefined ? what : familiar(name))} ${difference}`);
  }

  async #document({ digest, size }: Descriptor): Promise<Buffer> {
    const bytes = await this.#files.document(blobName(digest));
    const check = new Check({ digest, size, what: `"${digest}"` });
    check.update(bytes);
    check.finish();
    return bytes;
  }

  async #blob(descriptor: Descriptor): Promise<void> {
    const { digest, size, urls = [] } = descriptor;
    if (this.#writer.hasBlob({ digest, size })) return;
    if (isForeign(descriptor) && !this.#files.has(blobName(digest)))
      throw new UsageError(
        `layer "${digest}" is not in the archive, since it is not to be distributed; it comes from ${urls.map(quoted).join(', ') || 'elsewhere'}`,
      );
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

/** Whether a descriptor of an index is of what belongs to an image: a signature, an attestation (BuildKit's, OCI's). */
const isAboutImage = ({ artifactType, platform, annotations }: Descriptor): boolean =>
  artifactType !== undefined ||
  platform?.os === UNKNOWN ||
  Object.hasOwn(annotations ?? {}, 'vnd.docker.reference.type');

const blobName = (digest: Digest): string => `blobs/sha256/${hexOf(digest)}`;

/** The bytes of a new manifest. */
export function encodeManifest(config: Descriptor, layers: readonly Descriptor[]): Buffer {
  const manifest: Manifest = { schemaVersion: 2, mediaType: MEDIA_TYPE.MANIFEST, config, layers };
  return Buffer.from(JSON.stringify(manifest));
}
