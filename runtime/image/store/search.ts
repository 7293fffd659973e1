/**
 * Which image a user means.
 *
 * Rule, as `docker inspect`'s: a digest means an image ID or a manifest; a name means the image that has it, "latest"
 * where no tag is given; and what looks like the beginning of an ID means the one image whose ID begins with it.
 */
import { UsageError } from '../../../fs/index.js';
import { nearest } from '../../nearest.js';
import type { Descriptor, Index, StoredImage } from '../oci.js';
import {
  familiar,
  formatReference,
  hexOf,
  isDigest,
  parseReference,
  type Reference,
  repositoryOf,
  withDefaultTag,
} from '../reference.js';
import { imagesOf, nameOf } from './index-file.js';
import type { Layout } from './layout.js';

const ID_PREFIX = /^(?:sha256:)?([0-9a-f]{1,64})$/;

/** The image that `text` means. Throws `UsageError` if there is none or more than one. */
export function searchImage(layout: Layout, index: Index, text: string): StoredImage {
  const found = byDigest(layout, index, text) ?? byName(layout, index, text) ?? byPrefix(layout, index, text);
  if (found === undefined) throw new UsageError(`no image "${text}"${hint(index, text)}`);
  return layout.image(index, found);
}

function byDigest(layout: Layout, index: Index, text: string): Descriptor | undefined {
  if (!isDigest(text)) return undefined;
  const images = imagesOf(index);
  return images.find(({ digest }) => digest === text) ?? layout.manifestsOf(index, text)[0];
}

function byName(layout: Layout, index: Index, text: string): Descriptor | undefined {
  const reference = referenceOrNone(text);
  if (reference === undefined) return undefined;
  const full = formatReference(withDefaultTag(reference));
  if (reference.digest === undefined) return index.manifests.find((entry) => nameOf(entry) === full);
  const isNamed = ({ names }: StoredImage): boolean =>
    names.some((name) => repositoryOf(parseReference(name)) === repositoryOf(reference));
  const entry = imagesOf(index).find(({ digest }) => digest === reference.digest);
  return entry !== undefined && isNamed(layout.image(index, entry)) ? entry : undefined;
}

function byPrefix(layout: Layout, index: Index, text: string): Descriptor | undefined {
  const prefix = ID_PREFIX.exec(text)?.[1];
  if (prefix === undefined) return undefined;
  const found = imagesOf(index).filter((image) => {
    const id = layout.idOf(image);
    return id !== undefined && hexOf(id).startsWith(prefix);
  });
  const ids = new Set(found.map((image) => layout.idOf(image)));
  if (ids.size > 1) throw new UsageError(`"${text}" begins the IDs of ${ids.size} images; give more of it`);
  return found[0];
}

/** 64 hexadecimal digits can only be an ID: the grammar of names refuses them. */
const referenceOrNone = (text: string): Reference | undefined =>
  /^[0-9a-f]{64}$/.test(text) ? undefined : parseReference(text);

function hint(index: Index, text: string): string {
  const names = index.manifests.map(nameOf).filter((name) => name !== undefined);
  const best = nearest(text, names.map(familiar));
  return best === undefined
    ? '; the store is empty, "tscr load" adds images'
    : `; "tscr images" lists what there is, the nearest is "${best}"`;
}
