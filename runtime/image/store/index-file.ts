/**
 * The store's `index.json`: the images and their names.
 *
 * Rule: one descriptor per name, in the annotation of the OCI image layout; an image without a name has one descriptor
 * without the annotation. A name belongs to one image: when another image gets it, the former one stays, without a name if
 * that was its last. All functions are pure.
 */
import type { Descriptor, Digest, Index } from '../oci.js';

export const NAME_ANNOTATION = 'org.opencontainers.image.ref.name';
/** The annotation with the full name in layouts of containerd and `docker save`, whose other annotation has only the tag. */
export const FULL_NAME_ANNOTATION = 'io.containerd.image.name';

export const EMPTY_INDEX: Index = { schemaVersion: 2, manifests: [] };

export const nameOf = ({ annotations }: Descriptor): string | undefined => annotations?.[NAME_ANNOTATION];

/** The names of the image with this manifest, sorted. */
export function namesOf(index: Index, manifest: Digest): string[] {
  const names = index.manifests.filter(({ digest }) => digest === manifest).map(nameOf);
  return names.filter((name) => name !== undefined).sort();
}

/** One descriptor per manifest, nameless, in the order of the index. */
export function imagesOf(index: Index): Descriptor[] {
  const images = new Map(index.manifests.map((descriptor) => [descriptor.digest, bare(descriptor)]));
  return [...images.values()];
}

/** Adds an image with names, which are removed from other images. */
export function withImage(index: Index, image: Descriptor, names: readonly string[]): Index {
  const images = [...imagesOf(index).filter(({ digest }) => digest !== image.digest), bare(image)];
  const owned = (descriptor: Descriptor): string[] => {
    const kept = namesOf(index, descriptor.digest).filter((name) => !names.includes(name));
    return descriptor.digest === image.digest ? [...kept, ...names] : kept;
  };
  return indexOf(images.map((descriptor) => [descriptor, owned(descriptor)]));
}

/** Removes a name. */
export function withoutName(index: Index, name: string): Index {
  return indexOf(
    imagesOf(index).map((image) => [image, namesOf(index, image.digest).filter((other) => other !== name)]),
  );
}

/** Removes manifests with all their names. */
export function withoutManifests(index: Index, gone: readonly Digest[]): Index {
  return { ...index, manifests: index.manifests.filter(({ digest }) => !gone.includes(digest)) };
}

const bare = ({ mediaType, digest, size }: Descriptor): Descriptor => ({ mediaType, digest, size });

function indexOf(images: readonly (readonly [Descriptor, readonly string[]])[]): Index {
  const manifests = images.flatMap(([image, names]): Descriptor[] =>
    names.length === 0
      ? [image]
      : [...new Set(names)].sort().map((name) => ({ ...image, annotations: { [NAME_ANNOTATION]: name } })),
  );
  return { schemaVersion: 2, manifests };
}
