/**
 * `export`: what a container's root shows, as one tar.
 *
 * Rule: the layers are read, not the mount, so it makes no difference whether the container runs; volumes are no part
 * of it. The tree is built in the store's workspace, sharing the layers' data where the filesystem can.
 */
import { closeSync, mkdirSync, openSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { flatten, viewOf } from '../../../fs/index.js';
import { packTree } from '../../image/layer/pack.js';
import type { Store } from '../../image/store/store.js';
import type { ContainerRecord } from '../records/record.js';
import { changesOf } from './changes.js';

/** Hands the tar to `use`. */
export async function exportContainer(
  store: Store,
  record: ContainerRecord,
  use: (tar: () => Readable) => Promise<void>,
): Promise<void> {
  if (record.driver === 'copy') return use(() => packTree(record.upper));
  return store.write(async (writer) => {
    const directory = writer.temporary();
    mkdirSync(directory);
    const view = viewOf(changesOf(record));
    const to = openSync(directory, 'r');
    try {
      flatten(view, to);
    } finally {
      closeSync(to);
      view.close();
    }
    await use(() => packTree(directory));
  });
}
