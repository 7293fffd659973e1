/**
 * tscr: a container runtime on the union filesystem.
 *
 * Rule: only the command that is named is loaded, so that a container starts without what builds images.
 */
import '../machine.js';
import { requireText, words } from '../../runtime/command/call.js';
import { runProgram } from '../program.js';
import { insteadOf } from './not-implemented.js';
import { TSCR_COMMANDS, tscrProgram } from './program.js';

/** docker's exit code for errors of the runtime itself. */
const RUNTIME_ERROR = 125;

async function main(argv: readonly string[]): Promise<void> {
  const named = TSCR_COMMANDS.filter((name) => argv.includes(name));
  const program = await tscrProgram(argv[0] === 'help' || named.length === 0 ? TSCR_COMMANDS : named);
  await runProgram(program, argv, { failure: RUNTIME_ERROR, check: requireText, instead: insteadOf });
}

void main(words());
