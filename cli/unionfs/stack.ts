/** The stack of a command: of a mount, of a record, or of options. */
import { existsSync } from 'node:fs';
import { type Stack, UsageError } from '../../fs/index.js';
import { defaultWork, directoryAt, recordedStack, splitLayers } from '../../fs/layers.js';
import { forNode } from '../../fs/sys/path-bytes.js';
import { canonical, requireInspection, unionMounts } from './mounts.js';

export interface StackOptions {
  readonly lower?: string;
  readonly upper?: string;
  readonly workdir?: string;
}

/** The stack of --lower and --upper; undefined without them. */
export function givenStack({ lower, upper, workdir }: StackOptions): Stack | undefined {
  if (upper === undefined && workdir !== undefined) throw new UsageError('--workdir needs --upper');
  if (lower === undefined) {
    if (upper !== undefined) throw new UsageError('--upper needs --lower');
    return undefined;
  }
  const lowers = splitLayers(lower).map(directoryAt);
  if (upper === undefined) return { lowers };
  const own = directoryAt(upper);
  return { lowers, upper: own, work: workdir === undefined ? defaultWork(own) : directoryAt(workdir) };
}

/** The stack of a mountpoint, or the recorded stack of an upper or work directory. */
export async function stackAt(path: string): Promise<Stack> {
  const where = await canonical(path);
  if (unionMounts().includes(where)) return requireInspection(where);
  if (!existsSync(forNode(where))) throw new UsageError(`"${path}" does not exist`);
  const recorded = recordedStack(where) ?? recordedStack(defaultWork(where));
  if (recorded === undefined) {
    throw new UsageError(`"${path}" is neither a unionfs mountpoint nor the upper or work directory of one`);
  }
  return recorded;
}
