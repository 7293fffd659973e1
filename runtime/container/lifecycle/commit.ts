/**
 * `commit`: creates an image with a container's changes as its top layer.
 *
 * Rules: the layer is the difference between the container's root and its lower layers, including the init layer, which
 * therefore is not committed. The same changes give the same layer with every driver (`pack.ts`). Compare daemon/commit.go in moby.
 */

import { applyChanges } from '../../image/create/changes.js';
import { buildImage } from '../../image/create/new-image.js';
import { packChanges } from '../../image/layer/pack.js';
import type { Digest } from '../../image/oci.js';
import type { Store } from '../../image/store/store.js';
import type { ContainerRecord } from '../records/record.js';
import { changesOf } from '../root/changes.js';

export interface CommitOptions {
  /** Full names. */
  readonly names: readonly string[];
  readonly message?: string;
  readonly author?: string;
  /** Dockerfile instructions (`changes.ts`). */
  readonly changes: readonly string[];
}

/** Creates an image of a container. @returns its ID @throws UsageError, e.g. if the container's image was removed */
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
