/** The process of a container: the image's entrypoint and command, and what replaces them. */
import { posix } from 'node:path';
import { UsageError } from '../../../fs/index.js';
import type { ExecutionConfig } from '../../image/oci.js';

export interface CommandRequest {
  /** Replaces the image's entrypoint, and drops its command; empty for none. */
  readonly entrypoint?: string;
  /** Replaces the image's command. */
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
  if (all.length === 0) throw new UsageError(`image "${reference}" names no command; give one`);
  return all;
}

/** The image's working directory; its path is relative to the root, whatever it says. */
export const imageWorkdir = ({ WorkingDir = '' }: ExecutionConfig): string => posix.resolve('/', WorkingDir);
