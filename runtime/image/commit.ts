/**
 * `commit`: what a container changed becomes a layer.
 *
 * Rules: the layer is made from the container's upper directory and what that refers to below, so it costs what was
 * changed; the init layer is no part of it. The same changes give the same layer. Compare daemon/commit.go in moby.
 */
import { changesOf } from '../container/changes.js';
import type { ContainerRecord } from '../container/record.js';
import { buildImage } from './build.js';
import { applyChanges } from './changes.js';
import type { Digest } from './oci.js';
import { packChanges } from './pack.js';
import type { Store } from './store.js';

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
  const changes = changesOf(record);
  const execution = applyChanges(record.config, options.changes);
  return store.write(async (writer) => {
    const base = store.find(record.image.id);
    const { names, message, author } = options;
    return buildImage(writer, {
      base,
      layer:
        changes.copied === undefined
          ? packChanges({ ...changes, lowers: record.lowers })
          : packChanges(changes),
      execution,
      step: { created_by: record.command.join(' '), ...(message !== undefined && { comment: message }) },
      ...(author !== undefined && { author }),
      names,
    });
  });
}
