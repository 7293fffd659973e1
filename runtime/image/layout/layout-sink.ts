/**
 * An OCI image layout as a sink, in a tar.
 *
 * Rules: the same images give the same bytes: blobs in the order of their digests, each once, no times, no owners. Blobs
 * keep their bytes. The tar is read from the sources while it is written. Compare image-layout.md.
 */
import type { Readable } from 'node:stream';
import type { Image } from '../manifest.js';
import { type Descriptor, type Digest, MEDIA_TYPE } from '../oci.js';
import type { Content, ImageSink } from '../sink.js';
import { FULL_NAME_ANNOTATION, NAME_ANNOTATION } from '../store/index-file.js';
import { type ArchiveEntry, directoryEntry, tarOf, textEntry } from '../tar/archive-tar.js';
import { blobName } from './blob-name.js';

const LAYOUT = '{"imageLayoutVersion":"1.0.0"}';

export class LayoutSink implements ImageSink {
  readonly #blobs = new Map<Digest, ArchiveEntry>();
  readonly #manifests: Descriptor[] = [];

  has({ digest }: Descriptor): boolean {
    return this.#blobs.has(digest);
  }

  async blob({ digest, size }: Descriptor, content: Content): Promise<void> {
    this.#blobs.set(digest, { type: 'file', name: blobName(digest), size, open: () => content.open() });
  }

  async image({ bytes, descriptor }: Image, names: readonly string[]): Promise<void> {
    const { digest, size } = descriptor;
    this.#blobs.set(digest, { type: 'file', name: blobName(digest), size, open: () => bytes });
    this.#manifests.push(...named(descriptor, names));
  }

  /** The whole layout. */
  tar(): Readable {
    const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.INDEX, manifests: this.#manifests };
    return tarOf([
      directoryEntry('blobs'),
      directoryEntry('blobs/sha256'),
      ...[...this.#blobs.keys()].sort().map((digest) => this.#blobs.get(digest) as ArchiveEntry),
      textEntry('index.json', JSON.stringify(index)),
      textEntry('oci-layout', LAYOUT),
    ]);
  }
}

/** One descriptor per name; one without, if there is none. */
function named(descriptor: Descriptor, names: readonly string[]): Descriptor[] {
  if (names.length === 0) return [descriptor];
  return names.map((name) => ({
    ...descriptor,
    annotations: { [FULL_NAME_ANNOTATION]: name, [NAME_ANNOTATION]: name },
  }));
}
