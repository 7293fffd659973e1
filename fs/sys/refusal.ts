/** What is refused, as errors whose message is complete: one line, the offending value quoted. */
import { ASK_DOCTOR } from './advice.js';

/** A mistake in what the user asked for, or in what came from outside. */
export class UsageError extends Error {}

/**
 * What this host refuses, where another would not.
 * @param what one line without the remedy, the offending value quoted
 * @param fix what mends it, if that is known
 */
export class HostError extends UsageError {
  constructor(what: string, fix: string = ASK_DOCTOR) {
    super(`${what}; ${fix}`);
  }
}
