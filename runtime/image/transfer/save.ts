/**
 * `save`: writes images of the store to one archive.
 *
 * Rule: everything is verified against its digest while it is written, so a damaged store gives no archive.
 */
import type { Readable } from 'node:stream';
import { DockerArchiveSink } from '../archive/docker-sink.js';
import { LayoutSink } from '../layout/layout-sink.js';
import type { ImageConfig } from '../oci.js';
import type { ImageSink } from '../sink.js';
import type { Store } from '../store/store.js';
import { StoreSource } from '../store/store-source.js';
import { copyImages } from './copy.js';

export const ARCHIVE_FORMATS = ['docker-archive', 'oci'] as const;
export type ArchiveFormat = (typeof ARCHIVE_FORMATS)[number];

const SINKS: Readonly<Record<ArchiveFormat, (store: Store) => ImageSink & { tar(): Readable }>> = {
  'docker-archive': ({ layout }) =>
    new DockerArchiveSink(({ rootfs }: ImageConfig) =>
      layout.layerKeys(rootfs.diff_ids).map((key) => layout.layerSize(key).tar),
    ),
  oci: () => new LayoutSink(),
};

/** Passes the archive of images (names or IDs) to `write`; nothing is removed from the store in the meantime. */
export async function saveImages(
  store: Store,
  images: readonly string[],
  format: ArchiveFormat,
  write: (archive: () => Readable) => Promise<void>,
): Promise<void> {
  await store.hold(async () => {
    const sink = SINKS[format](store);
    await copyImages(new StoreSource(store), sink, images);
    await write(() => sink.tar());
  });
}
