/** The command of a container: the image's ENTRYPOINT and CMD, or their replacements. */
import { posix } from 'node:path';
import { UsageError } from '../../../fs/index.js';
import type { ExecutionConfig } from '../../image/oci.js';

export interface CommandRequest {
  /** Replaces the image's ENTRYPOINT, and removes its CMD; an empty string means none. */
  readonly entrypoint?: string;
  /** Replaces the image's CMD. */
  readonly command: readonly string[];
}

/** Program and arguments. Throws `UsageError` if there are none. @param reference the image, for the message */
export function commandOf(
  { Entrypoint, Cmd }: ExecutionConfig,
  reference: string,
  { entrypoint, command }: CommandRequest,
): string[] {
  const first = entrypoint === undefined ? (Entrypoint ?? []) : entrypoint === '' ? [] : [entrypoint];
  const rest = command.length > 0 || entrypoint !== undefined ? command : (Cmd ?? []);
  const all = [...first, ...rest];
  if (all.length === 0)
    throw new UsageError(`image "${reference}" has no default command; add a command to the arguments`);
  return all;
}

/** The image's working directory, as an absolute path. */
export const imageWorkdir = ({ WorkingDir = '' }: ExecutionConfig): string => posix.resolve('/', WorkingDir);
