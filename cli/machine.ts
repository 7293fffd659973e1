/**
 * Refuses a machine that is not served, in one line.
 *
 * Rule: this is the first import of each program, since loading the others needs the machine's table.
 */
import { basename } from 'node:path';
import { architectureOf } from '../fs/sys/architecture.js';

/** Exit codes of errors, by program. */
const FAILURE: Readonly<Record<string, number>> = { tscr: 125, unionfs: 1 };

try {
  architectureOf(process.arch);
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exit(FAILURE[basename(process.argv[1] ?? '', '.js')] ?? 1);
}
