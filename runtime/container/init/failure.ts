/**
 * A reason why a container cannot start, as one line for the user.
 *
 * Rule: the init stage loads as little as it can; `UsageError` and what comes with it stay in the supervisor.
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

/** Runs a step; says what it was for when a system call fails in it. */
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
