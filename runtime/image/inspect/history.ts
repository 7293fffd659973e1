/**
 * The history of an image, with the size of each step's layer.
 *
 * Rule: history entries with a layer correspond to the layers in order (config.md, "history"). A layer without an entry is
 * shown as a step without description.
 */
import type { Digest, History, StoredImage } from '../oci.js';
import type { Store } from '../store/store.js';

export interface Step {
  /** The image's ID for its last step; undefined for the others, whose images are not stored. */
  readonly id?: Digest;
  /** RFC 3339. */
  readonly created?: string;
  readonly createdBy: string;
  readonly comment: string;
  readonly layer?: Digest;
  /** Bytes of the layer's files. */
  readonly size: number;
}

/** The steps, the latest first. */
export function historyOf(store: Store, { id, config, layerKeys }: StoredImage): Step[] {
  const layers = [...config.rootfs.diff_ids.entries()];
  const step = (told: History): Step => {
    const layer = told.empty_layer === true ? undefined : layers.shift();
    return {
      ...(told.created !== undefined && { created: told.created }),
      createdBy: told.created_by ?? '',
      comment: told.comment ?? '',
      ...(layer !== undefined && { layer: layer[1] }),
      size: layer === undefined ? 0 : store.layout.layerSize(layerKeys[layer[0]] as Digest).bytes,
    };
  };
  const steps = (config.history ?? []).map(step);
  while (layers.length > 0) steps.push(step({}));
  return steps.reverse().map((one, at) => (at === 0 ? { id, ...one } : one));
}
