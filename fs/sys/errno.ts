/**
 * One error type for every failed syscall, and one table of errno names.
 *
 * Rule: syscalls throw `Errno`; the session turns it into the reply's error field; anything else that is thrown
 * is a bug, logged once and answered with EIO.
 */
import { constants } from 'node:os';

/** errno numbers of the running architecture, by name (errno(3)); ENOATTR is Linux's ENODATA. */
export const E = constants.errno;

const names = new Map<number, string>(Object.entries(E).map(([name, code]) => [code, name]));
names.set(E.EAGAIN, 'EAGAIN');
names.set(E.EOPNOTSUPP, 'EOPNOTSUPP');

/** The symbolic name of an errno value, e.g. 2 -> "ENOENT". */
export function errnoName(code: number): string {
  return names.get(code) ?? `errno ${code}`;
}

/** A failed syscall. `code` is the positive errno value; `call` names the man-2 function that failed. */
export class Errno extends Error {
  readonly code: number;
  readonly call: string;
  /** The file that the call was about, for messages (`withPath`). */
  path?: string;

  constructor(code: number, call = '') {
    super(call === '' ? errnoName(code) : `${call}: ${errnoName(code)}`);
    this.name = 'Errno';
    this.code = code;
    this.call = call;
  }
}

/** Adds the path of a file to the error of a failed system call that names none. @returns the same error */
export function withPath(path: string, error: unknown): unknown {
  const isSystemError = error instanceof Error && ('syscall' in error || error instanceof Errno);
  if (isSystemError) (error as { path?: string }).path ??= path;
  return error;
}

/** Runs `attempt`; when it throws one of `codes`, the value is undefined. Other errors pass through. */
export function unless<T>(codes: readonly number[], attempt: () => T): T | undefined {
  try {
    return attempt();
  } catch (error) {
    if (error instanceof Errno && codes.includes(error.code)) return undefined;
    throw error;
  }
}
