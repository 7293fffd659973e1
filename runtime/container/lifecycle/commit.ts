/**
 * `commit`: what a container changed becomes a layer.
 *
 * Rules: the layer is what differs between the container's root and what it was made of, the init layer included, so that
 * layer is no part of it. The same changes give the same layer, whatever the driver (`pack.ts`). Compare daemon/commit.go in moby.
 */

import { applyChanges } from '../../image/create/changes.js';
import { buildImage } from '../../image/create/new-image.js';
import { packChanges } from '../../image/layer/pack.js';
import type { Digest } from '../../image/oci.js';
import type { Store } from '../../image/store/store.js';
import type { ContainerRecord } from '../records/record.js';
import { changesOf } from './changes.js';

export interface CommitOptions {
  /** Full names. */
  readonly names: readonly string[];
  readonly message?: string;
  readonly author?: string;
  /** Dockerfile instructions (`changes.ts`). */
  readonly changes: readonly string[];
}

/** Makes an image of a container; its ID. Throws `UsageError`, as when the container's image is gone. */
export async function commit(store: Store, record: ContainerRecord, options: CommitOptions): Promise<Digest> {
  const execution = applyChanges(record.config, options.changes);
  return store.write(async (writer) => {
    const base = store.find(record.image.id);
    const { names, message, author } = options;
    return buildImage(writer, {
      base,
      layer: packChanges(changesOf(record)),
      execution,
      step: { created_by: record.command.join(' '), ...(message !== undefined && { comment: message }) },
      ...(author !== undefined && { author }),
      names,
    });
  });
}
