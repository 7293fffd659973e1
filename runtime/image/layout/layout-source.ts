/**
 * An OCI image layout as a source, in a directory or in a tar.
 *
 * Rules: `index.json` names images in annotations; what is only a tag there follows the layout's own name. Entries with
 * the same name are one image for several platforms. A layer that is not to be distributed may be missing, and the
 * complaint tells where it comes from. Compare image-layout.md.
 */
import type { Readable } from 'node:stream';
import { UsageError } from '../../../fs/index.js';
import { quoted } from '../../../fs/input/shown.js';
import type { ImageFiles } from '../files/image-files.js';
import { checkLayoutVersion, isForeign, parseIndex } from '../manifest.js';
import type { Descriptor } from '../oci.js';
import { formatReference, parseReference, parseTag } from '../reference.js';
import { type Candidate, candidatesNamed, type ImageSource } from '../source.js';
import { FULL_NAME_ANNOTATION, nameOf } from '../store/index-file.js';
import { blobName } from './blob-name.js';

export class LayoutSource implements ImageSource {
  readonly name = 'the layout';
  readonly #files: ImageFiles;
  readonly #title: string;

  /** @param title what its images are called where it knows only a tag */
  constructor(files: ImageFiles, title: string) {
    this.#files = files;
    this.#title = title.toLowerCase();
  }

  async resolve(reference?: string): Promise<readonly Candidate[]> {
    checkLayoutVersion(await this.#files.document('oci-layout'));
    const { manifests } = parseIndex(await this.#files.document('index.json'), 'index.json');
    const found = new Map<string, { what: string; names: string[]; variants: Descriptor[] }>();
    for (const entry of manifests) {
      const name = this.#nameOf(entry);
      const what = name ?? entry.digest;
      const candidate = found.get(what) ?? { what, names: name === undefined ? [] : [name], variants: [] };
      candidate.variants.push(entry);
      found.set(what, candidate);
    }
    return candidatesNamed([...found.values()], reference, this.name);
  }

  /** The full name of an image. */
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

  manifest({ digest }: Descriptor): Promise<Buffer> {
    return this.#files.document(blobName(digest));
  }

  async blob(descriptor: Descriptor): Promise<Readable> {
    const { digest, urls = [] } = descriptor;
    const name = blobName(digest);
    if (isForeign(descriptor) && !this.#files.has(name))
      throw new UsageError(
        `the archive does not contain layer "${digest}", which is non-distributable; its source is ${urls.map(quoted).join(', ') || 'elsewhere'}`,
      );
    return this.#files.open(name);
  }

  describe({ digest }: Descriptor): string {
    return `"${blobName(digest)}"`;
  }
}
