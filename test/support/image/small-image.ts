/** Small images for tests of the store: made by hand and added without a command. */
import { Readable } from 'node:stream';
import { Store } from '../../../runtime/image/store/store.js';
import { loadStream } from '../../../runtime/image/transfer/load.js';
import { archive, type Fields } from './archive.js';
import { dockerArchive } from './docker-archive.js';

export const streamOf = (bytes: Buffer): Readable => Readable.from([bytes], { objectMode: false });

/** A docker archive with an image of these layers. */
export const imageOf = (name: string, ...layers: readonly (readonly Fields[])[]): Buffer =>
  dockerArchive(
    name,
    layers.map((entries) => ({ tar: archive(...entries) })),
  );

export async function addImage(root: string, bytes: Buffer): Promise<void> {
  await loadStream(Store.open(root), streamOf(bytes));
}
