/**
 * `export`: the root filesystem of a container as one tar.
 *
 * Rule: the layers are read, not the mount, so the container may be running or not; volumes are not included. The tree is
 * built in the store's workspace, with reflinks to the layers' data if the filesystem supports them.
 */
import { mkdirSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { flattenStack } from '../../../fs/index.js';
import { packTree } from '../../image/layer/pack.js';
import type { Store } from '../../image/store/store.js';
import type { ContainerRecord } from '../records/record.js';
import { changesOf } from '../root/changes.js';

/** Calls `use` with the tar. */
export async function exportContainer(
  store: Store,
  record: ContainerRecord,
  use: (tar: () => Readable) => Promise<void>,
): Promise<void> {
  if (record.driver === 'copy') return use(() => packTree(record.upper));
  return store.write(async (writer) => {
    const directory = writer.temporary();
    mkdirSync(directory);
    flattenStack(changesOf(record), directory);
    await use(() => packTree(directory));
  });
}
