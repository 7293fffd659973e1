/**
 * The store as a source.
 *
 * Rules: a reference is whatever `Store.find` takes; an image that was asked for by its ID has no name then. What is not
 * there or is not what was added is damage of the store, and named as such.
 */
import { statSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { isLayer } from '../manifest.js';
import { type Descriptor, MEDIA_TYPE, type StoredImage } from '../oci.js';
import { formatReference, isDigest, parseReference, withDefaultTag } from '../reference.js';
import type { Candidate, ImageSource } from '../source.js';
import type { Store } from './store.js';

export class StoreSource implements ImageSource {
  readonly name: string;
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
    this.name = `the store "${store.root}"`;
  }

  async resolve(reference?: string): Promise<readonly Candidate[]> {
    if (reference === undefined)
      return this.#store.list().map((image) => this.#candidate(image, image.names));
    const image = this.#store.find(reference);
    const name = fullName(reference);
    return [
      this.#candidate(
        image,
        image.names.filter((full) => full === name),
      ),
    ];
  }

  #candidate({ manifestDigest: digest }: StoredImage, names: readonly string[]): Candidate {
    const { size } = statSync(this.#store.layout.blobPath(digest));
    const variants = [{ mediaType: MEDIA_TYPE.MANIFEST, digest, size }];
    return { what: names[0] ?? digest, names, variants };
  }

  async manifest({ digest }: Descriptor): Promise<Buffer> {
    return this.#store.layout.readBlob(digest);
  }

  async blob({ digest }: Descriptor): Promise<Readable> {
    return this.#store.layout.openBlob(digest);
  }

  describe(descriptor: Descriptor): string {
    const kind = isLayer(descriptor) ? 'layer ' : '';
    return `${this.name} is damaged: ${kind}"${descriptor.digest}"`;
  }
}

/** The stored form of a name; undefined for an ID. */
function fullName(text: string): string | undefined {
  if (isDigest(text)) return undefined;
  try {
    return formatReference(withDefaultTag(parseReference(text)));
  } catch {
    return undefined;
  }
}
