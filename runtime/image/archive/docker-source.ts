/**
 * A docker archive as a source: `manifest.json` names configurations and layers by their files.
 *
 * Rules: it has no manifests and no digests. Every file of an image is written to the spool, which hashes it, and the image
 * gets a manifest: the one in the store, or a new one, always the same for the same image. Configurations are copied byte
 * by byte, so image IDs do not change. A layer with a compression that has no OCI media type is stored uncompressed. Compare moby's image/tarexport/load.go and image/spec/v1.2.md.
 */
import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { UsageError } from '../../../fs/index.js';
import type { ImageFiles } from '../files/image-files.js';
import { type Compression, decompress } from '../layer/compression.js';
import { encodeManifest, parseArchiveManifest } from '../manifest.js';
import { type ArchivedImage, type Blob, type Descriptor, type Digest, MEDIA_TYPE } from '../oci.js';
import { formatReference, parseTag } from '../reference.js';
import { type Candidate, candidatesNamed, type ImageSource } from '../source.js';
import type { Spool } from '../store/spool.js';

const LAYER_TYPE: Readonly<Partial<Record<Compression, string>>> = {
  none: MEDIA_TYPE.LAYER,
  gzip: MEDIA_TYPE.LAYER_GZIP,
  zstd: MEDIA_TYPE.LAYER_ZSTD,
};

export interface DockerArchiveOptions {
  readonly files: ImageFiles;
  readonly spool: Spool;
  /** The existing manifest of an image with this configuration. */
  readonly manifestOf: (config: Digest) => Buffer | undefined;
  /** Maximum uncompressed size of a layer in bytes. */
  readonly maxLayerBytes: number;
}

export class DockerArchiveSource implements ImageSource {
  readonly name = 'the archive';
  readonly #options: DockerArchiveOptions;
  /** Descriptors by the digest of the archive's file. */
  readonly #layers = new Map<Digest, Descriptor>();

  constructor(options: DockerArchiveOptions) {
    this.#options = options;
  }

  async resolve(reference?: string): Promise<readonly Candidate[]> {
    const candidates: Candidate[] = [];
    for (const image of parseArchiveManifest(await this.#options.files.document('manifest.json')))
      candidates.push(await this.#candidate(image));
    return candidatesNamed(candidates, reference, this.name);
  }

  async #candidate(image: ArchivedImage): Promise<Candidate> {
    const { files, spool, manifestOf } = this.#options;
    const names = image.RepoTags.map((name) => formatReference(parseTag(name)));
    const config = await files.spooled(image.Config);
    const manifest = manifestOf(config.digest) ?? (await this.#manifest(image, config));
    const variants = [{ mediaType: MEDIA_TYPE.MANIFEST, ...spool.addBytes(manifest) }];
    return { what: config.digest, names, variants };
  }

  async #manifest({ Layers }: ArchivedImage, config: Blob): Promise<Buffer> {
    const layers: Descriptor[] = [];
    for (const name of Layers) layers.push(await this.#layer(name));
    return encodeManifest({ mediaType: MEDIA_TYPE.CONFIG, ...config }, layers);
  }

  async #layer(name: string): Promise<Descriptor> {
    const blob = await this.#options.files.spooled(name);
    const known = this.#layers.get(blob.digest);
    if (known !== undefined) return known;
    const layer = await this.#described(blob);
    this.#layers.set(blob.digest, layer);
    return layer;
  }

  /** A layer with a compression that has a media type. */
  async #described(blob: Blob): Promise<Descriptor> {
    const { spool, maxLayerBytes } = this.#options;
    const what = `blob "${blob.digest}"`;
    const { compression, stream } = await decompress(spool.stream(blob.digest), what);
    const mediaType = LAYER_TYPE[compression];
    if (mediaType === undefined) {
      const plain = Readable.from(bounded(stream, maxLayerBytes, what), { objectMode: false });
      return { mediaType: MEDIA_TYPE.LAYER, ...(await spool.add(plain)) };
    }
    stream.destroy();
    return { mediaType, ...blob };
  }

  async manifest({ digest }: Descriptor): Promise<Buffer> {
    return readFile(this.#options.spool.path(digest));
  }

  async blob(blob: Descriptor): Promise<Readable> {
    const { spool } = this.#options;
    if (!spool.has(blob)) throw new UsageError(`${this.name} has no ${this.describe(blob)}`);
    return spool.stream(blob.digest);
  }

  describe({ digest }: Descriptor): string {
    return `"${digest}"`;
  }
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
      throw new UsageError(
        `${what} is larger than the limit of ${maxBytes} bytes; raise it with --max-unpacked`,
      );
    yield chunk;
  }
}
