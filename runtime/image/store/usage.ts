/**
 * The disk usage of the store, and sizes that images share.
 *
 * Rule: each layer is on the disk once. It is shared if more than one image has it; an image's unique size is the size of
 * the layers that its removal would free.
 */
import { statSync } from 'node:fs';
import type { Digest, StoredImage } from '../oci.js';
import { readLeases } from './leases.js';
import type { Store } from './store.js';

/** Bytes of an image's layers. */
export interface Shares {
  readonly shared: number;
  readonly unique: number;
}

/** One layer upon those below it. */
export interface LayerNode {
  readonly diffId: Digest;
  /** Bytes. */
  readonly size: number;
  /** Images with this as their top layer. */
  readonly images: readonly StoredImage[];
  readonly children: readonly LayerNode[];
}

export interface Use {
  readonly total: number;
  /** Those in use. */
  readonly active: number;
  /** Bytes on the disk, the blobs' and the unpacked layers'. */
  readonly size: number;
  /** Bytes that would be freed if everything unused were removed. */
  readonly reclaimable: number;
}

/** Shared and unique sizes of each image, by ID. */
export function sharesOf(store: Store, images: readonly StoredImage[]): Map<Digest, Shares> {
  const owners = new Map<Digest, Set<Digest>>();
  for (const { id, layerKeys } of images) {
    for (const key of layerKeys) owners.set(key, (owners.get(key) ?? new Set()).add(id));
  }
  const sum = (image: StoredImage, isShared: boolean): number =>
    distinctLayers([image])
      .filter((key) => (owners.get(key)?.size ?? 0) > 1 === isShared)
      .reduce((bytes, key) => bytes + store.layout.layerSize(key).bytes, 0);
  return new Map(images.map((image) => [image.id, { shared: sum(image, true), unique: sum(image, false) }]));
}

const distinctLayers = (images: readonly StoredImage[]): Digest[] => [
  ...new Set(images.flatMap(({ layerKeys }) => layerKeys)),
];

/** The images as trees of layers, bases first. */
export function layerTree(store: Store, images: readonly StoredImage[], depth = 0): LayerNode[] {
  const next = new Set(images.flatMap(({ layerKeys }) => layerKeys.slice(depth, depth + 1)));
  return [...next].map((key) => {
    const upon = images.filter(({ layerKeys }) => layerKeys[depth] === key);
    return {
      diffId: upon[0]?.config.rootfs.diff_ids[depth] as Digest,
      size: store.layout.layerSize(key).bytes,
      images: upon.filter(({ layerKeys }) => layerKeys.length === depth + 1),
      children: layerTree(store, upon, depth + 1),
    };
  });
}

/** Disk usage of images; those that a lease names are active. */
export function imageUse(store: Store): Use {
  const images = store.list();
  const used = new Set(readLeases(store.root).leases.map(({ image }) => image));
  const active = images.filter(({ id }) => used.has(id));
  const needed = sizeOf(store, active);
  const size = sizeOf(store, images);
  return { total: images.length, active: active.length, size, reclaimable: size - needed };
}

/** What st_blocks counts, in bytes. */
const BLOCK = 512;

/** Bytes of the blobs and layers of images, each counted once. */
function sizeOf(store: Store, images: readonly StoredImage[]): number {
  const blobs = images.flatMap(({ manifest, manifestDigest, id }) => [
    manifestDigest,
    id,
    ...manifest.layers.map(({ digest }) => digest),
  ]);
  const stored = [...new Set(blobs)].reduce((sum, digest) => {
    const stat = statSync(store.layout.blobPath(digest), { throwIfNoEntry: false });
    return sum + (stat?.blocks ?? 0) * BLOCK;
  }, 0);
  return distinctLayers(images).reduce((sum, key) => sum + store.layout.layerSize(key).bytes, stored);
}
