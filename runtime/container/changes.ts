/**
 * Where a container's changes are.
 *
 * Rule: only drivers that keep them apart from the image can tell them; the copy driver's directory holds everything.
 */
import { UsageError } from '../../fs/index.js';
import type { ContainerRecord } from './record.js';

export interface Changes {
  readonly upper: string;
  /** The top one first: the init layer, then the image's. */
  readonly lowers: readonly string[];
}

/** Throws `UsageError` for a container of the copy driver. */
export function changesOf({ name, driver, upper, init, lowers }: ContainerRecord): Changes {
  if (driver === 'copy') {
    throw new UsageError(
      `container "${name}" has the storage driver "copy", which does not keep changes apart; "tscr export" writes all of it`,
    );
  }
  return { upper, lowers: [init, ...lowers] };
}
