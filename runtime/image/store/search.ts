/**
 * Finds the image that a user names.
 *
 * Rule, as `docker inspect`'s: a digest is an image ID or a manifest's digest; a name without tag has the tag "latest";
 * hexadecimal digits can be an unambiguous prefix of an ID.
 */
import { UsageError } from '../../../fs/index.js';
import { nearest } from '../../../fs/input/nearest.js';
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

/** The image named by `text`. Throws `UsageError` if there is none or more than one. */
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
  if (ids.size > 1)
    throw new UsageError(
      `ambiguous image ID "${text}": it is the prefix of ${ids.size} IDs; use more digits`,
    );
  return found[0];
}

/** 64 hexadecimal digits can only be an ID: the grammar of names refuses them. */
const referenceOrNone = (text: string): Reference | undefined =>
  /^[0-9a-f]{64}$/.test(text) ? undefined : parseReference(text);

/** A name as it is shown, and, for the default tag, as it may be typed. */
const withoutLatest = (name: string): string[] => [name.replace(/:latest$/, ''), name];

function hint(index: Index, text: string): string {
  const names = index.manifests.map(nameOf).filter((name) => name !== undefined);
  if (names.length === 0) return '; load one with "tscr load"';
  const best = nearest(text, names.map(familiar).flatMap(withoutLatest));
  return best === undefined ? '; list images with "tscr images"' : `; did you mean "${best}"?`;
}
