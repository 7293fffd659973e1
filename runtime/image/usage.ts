/**
 * What takes the store's space, and what images share.
 *
 * Rule: a layer is on the disk once, whoever uses it. It is shared if more than one image has it; an image's unique
 * size is what its removal would free of layers.
 */
import { lstatSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { AT, O } from '../../fs/sys/constants.js';
import { isDirectory } from '../../fs/sys/stat.js';
import { close, openat, readDirectory, statat } from '../../fs/sys/syscalls.js';
import { toBytes } from '../../fs/union/stack.js';
import { listRecords } from '../container/containers.js';
import type { Digest, StoredImage } from './oci.js';
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
  /** Those that something uses. */
  readonly active: number;
  /** Bytes on the disk, the blobs' and the unpacked layers'. */
  readonly size: number;
  /** Bytes that would be freed if only what is active stayed. */
  readonly reclaimable: number;
}

/** How much of each image, by ID, others have as well. */
export function sharesOf(store: Store, images: readonly StoredImage[]): Map<Digest, Shares> {
  const owners = new Map<Digest, Set<Digest>>();
  for (const { id, config } of images) {
    for (const diffId of config.rootfs.diff_ids) owners.set(diffId, (owners.get(diffId) ?? new Set()).add(id));
  }
  const sum = (image: StoredImage, isShared: boolean): number =>
    distinctLayers([image])
      .filter((diffId) => (owners.get(diffId)?.size ?? 0) > 1 === isShared)
      .reduce((bytes, diffId) => bytes + store.layout.layerSize(diffId).bytes, 0);
  return new Map(images.map((image) => [image.id, { shared: sum(image, true), unique: sum(image, false) }]));
}

const distinctLayers = (images: readonly StoredImage[]): Digest[] => [
  ...new Set(images.flatMap(({ config }) => config.rootfs.diff_ids)),
];

/** The images as trees of layers, bases first. */
export function layerTree(store: Store, images: readonly StoredImage[], depth = 0): LayerNode[] {
  const next = new Set(images.flatMap(({ config }) => config.rootfs.diff_ids.slice(depth, depth + 1)));
  return [...next].map((diffId) => {
    const upon = images.filter(({ config }) => config.rootfs.diff_ids[depth] === diffId);
    return {
      diffId,
      size: store.layout.layerSize(diffId).bytes,
      images: upon.filter(({ config }) => config.rootfs.diff_ids.length === depth + 1),
      children: layerTree(store, upon, depth + 1),
    };
  });
}

/** What images take. */
export function imageUse(store: Store): Use {
  const images = store.list();
  const used = new Set(listRecords(store.root).map(({ image }) => image.id));
  const active = images.filter(({ id }) => used.has(id));
  const needed = sizeOf(store, active);
  const size = sizeOf(store, images);
  return { total: images.length, active: active.length, size, reclaimable: size - needed };
}

/** Bytes of the blobs and layers of images, each counted once. */
function sizeOf(store: Store, images: readonly StoredImage[]): number {
  const blobs = images.flatMap(({ manifest, manifestDigest, id }) => [
    manifestDigest,
    id,
    ...manifest.layers.map(({ digest }) => digest),
  ]);
  const stored = [...new Set(blobs)].reduce((sum, digest) => sum + statSync(store.layout.blobPath(digest)).size, 0);
  return distinctLayers(images).reduce((sum, diffId) => sum + store.layout.layerSize(diffId).bytes, stored);
}

/** How many containers there are, and the bytes of what they changed. */
export function containerUse(store: Store): { total: number; size: number } {
  const records = listRecords(store.root);
  return { total: records.length, size: records.reduce((sum, { upper }) => sum + treeSize(upper), 0) };
}

/** Bytes that the files below a directory have on the disk; 0 if it is not there. */
export function treeSize(path: string): number {
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return 0;
  const fd = openat(AT.FDCWD, toBytes(path), O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
  try {
    return sizeBelow(fd);
  } finally {
    close(fd);
  }
}

const BLOCK = 512;

function sizeBelow(fd: number): number {
  let bytes = 0;
  for (const { name } of readDirectory(fd)) {
    const stat = statat(fd, name);
    if (stat === undefined) continue;
    bytes += Number(stat.blocks) * BLOCK;
    if (!isDirectory(stat.mode)) continue;
    const below = openat(fd, name, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
    try {
      bytes += sizeBelow(below);
    } finally {
      close(below);
    }
  }
  return bytes;
}

/** Bytes of unfinished work in the store: that of running writers, and of dead ones until the next writer. */
export function temporarySize(store: Store): number {
  const tmp = store.layout.path('tmp');
  const names = lstatSync(tmp, { throwIfNoEntry: false }) === undefined ? [] : readdirSync(tmp);
  return names.reduce((sum, name) => sum + treeSize(join(tmp, name)), 0);
}
