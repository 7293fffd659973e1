/**
 * unionfs: a union filesystem in userspace; by other names, fuse-overlayfs and a helper of mount(8).
 *
 * Rule: only the given command is loaded; a mount in the background loads only the code that starts its server.
 */
import '../machine.js';
import { words } from '../../runtime/command/call.js';
import { setPrefix, warn } from '../terminal/output.js';
import { startServer } from './background.js';
import { overlayRequest } from './overlay.js';
import { UNIONFS_COMMANDS, unionfsProgram } from './program.js';

const FAILURE = 1;
/** Differs from the exit codes of the executed command, as for env(1) and docker. */
const EXEC_FAILURE = 125;

/** The launcher's option; its next argument is the path of the program as it was called. */
const CALLED_AS = '--called-as';

async function runCommand(argv: readonly string[]): Promise<void> {
  const { runProgram } = await import('../program.js');
  const [named = ''] = argv;
  const program = await unionfsProgram(UNIONFS_COMMANDS.includes(named) ? [named] : UNIONFS_COMMANDS);
  await runProgram(program, argv, { failure: named === 'exec' ? EXEC_FAILURE : FAILURE });
}

/** The path of the program as it was called, and its arguments; the launcher passes its own path. */
function call(): { program: string; args: readonly string[] } {
  const [option, program, ...args] = words();
  if (option === CALLED_AS && program !== undefined) return { program, args };
  return { program: process.argv[1] ?? '', args: words() };
}

async function main(): Promise<void> {
  const { program, args } = call();
  const request = overlayRequest(program, args, UNIONFS_COMMANDS);
  if (request === undefined) return runCommand(args);
  if ('print' in request) {
    process.stdout.write(request.print);
    return;
  }
  setPrefix('unionfs mount');
  request.warnings.forEach(warn);
  await (request.foreground
    ? runCommand(['mount', ...request.mount])
    : startServer(request.mount, 'server.js'));
}

void main();
