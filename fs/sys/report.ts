/**
 * Reports on standard error, which is a log in the work directory while a mount runs in the background.
 *
 * Rule: a report never fails. A log that cannot be written, on a full disk or a filesystem that is shut down, must not fail
 * an operation or end a server.
 */
import { writeSync } from 'node:fs';

const STDERR = 2;

/** Writes one line. */
export function report(line: string): void {
  try {
    writeSync(STDERR, `${line}\n`);
  } catch {} // there is no other place to report to
}
