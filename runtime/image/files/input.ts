/**
 * Input files named by the user.
 *
 * Rule: they are opened at once, so that an error is reported before anything is done.
 */
import { createReadStream, openSync, type ReadStream } from 'node:fs';
import { UsageError } from '../../../fs/index.js';

/** A file to be read as a stream. Throws `UsageError`. */
export function openInput(path: string): ReadStream {
  return createReadStream(path, { fd: descriptorOf(path) });
}

function descriptorOf(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    throw new UsageError(`cannot read "${path}": ${(error as NodeJS.ErrnoException).code}`);
  }
}
