/**
 * An error message of the init stage: why a container cannot start, in one line.
 *
 * Rule: the init stage loads as little code as possible; `UsageError` and its imports are used only in the supervisor.
 */
import { adviceFor } from '../../../fs/sys/advice.js';
import { Errno } from '../../../fs/sys/errno.js';
import { EXIT } from './job.js';

export class Failure extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number = EXIT.RUNTIME_ERROR) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Runs a step; a failed system call becomes a `Failure` that begins with `what`. */
export function step<T>(what: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof Errno) throw new Failure(`${what}: ${error.message}${adviceFor(error.code)}`);
    throw error;
  }
}

/** JSON text as the bytes that system calls take. */
export const bytes = (text: string): string => Buffer.from(text).toString('latin1');

/** Runs a step; false if a system call fails in it with one of `codes`. */
export function succeeds(codes: readonly number[], run: () => void): boolean {
  try {
    run();
    return true;
  } catch (error) {
    if (error instanceof Errno && codes.includes(error.code)) return false;
    throw error;
  }
}
