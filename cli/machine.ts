/**
 * Refuses a processor architecture that is not supported, with one line.
 *
 * Rule: this is the first import of each program, since the other modules need the table of this architecture.
 */
import { basename } from 'node:path';
import { architectureOf } from '../fs/sys/architecture.js';

/** Exit codes of errors, by program. */
const FAILURE: Readonly<Record<string, number>> = { tscr: 125, unionfs: 1 };

try {
  architectureOf(process.arch);
} catch (error) {
  const program = basename(process.argv[1] ?? '', '.js');
  process.stderr.write(`${program}: ${(error as Error).message}\n`);
  process.exit(FAILURE[program] ?? 1);
}
