/** Errors with a complete message: one line, the offending value quoted. */
import { ASK_DOCTOR } from './advice.js';

/** An error in a user's request, or in data from outside. */
export class UsageError extends Error {}

/**
 * A request that this host refuses, and another one may accept.
 * @param what the message without the fix, the offending value quoted
 * @param fix how to fix it; `tscr doctor` by default
 */
export class HostError extends UsageError {
  constructor(what: string, fix: string = ASK_DOCTOR) {
    super(`${what}; ${fix}`);
  }
}
