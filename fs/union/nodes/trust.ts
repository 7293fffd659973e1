/**
 * How long what is known of lower layers stays true: for us, and for the kernel (its time-outs).
 *
 * Rule: forever where changes are reported or impossible; where a directory that should be watched is not, for a time-out.
 */
import type { DirectoryNode } from './node.js';

/** Seconds the kernel may rely on what it was told, where changes are reported or impossible: about 34 years. */
export const FOREVER = 2 ** 30;
/** Seconds it may rely on what lies in layers that should be watched but cannot be. */
export const UNWATCHED = 1;

/** How changes to layers behind the mount's back are noticed; a number is a time-out in seconds. */
export type LayerChanges = 'watch' | 'never' | number;

export class Trust {
  readonly #layerChanges: LayerChanges;
  /** Seconds the kernel may rely on what may change without a report. */
  readonly patience: number;

  constructor(layerChanges: LayerChanges) {
    this.#layerChanges = layerChanges;
    this.patience = typeof layerChanges === 'number' ? layerChanges : UNWATCHED;
  }

  /** Time-outs hold for the whole mount. */
  get isTimed(): boolean {
    return typeof this.#layerChanges === 'number';
  }

  /** Whether what is known of a directory's lower layers stays true until a change is reported. */
  holds(directory: DirectoryNode): boolean {
    if (directory.lowers.length === 0 || this.#layerChanges === 'never') return true;
    return directory.watched === true;
  }

  /** Seconds the kernel may rely on names and attributes found in a directory. */
  timeout(directory: DirectoryNode): number {
    return this.holds(directory) ? FOREVER : this.patience;
  }
}
