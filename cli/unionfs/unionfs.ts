/**
 * unionfs: a union filesystem in userspace; by other names, fuse-overlayfs and a helper of mount(8).
 *
 * Rule: only the command that is named is loaded, and nothing but a server's start for a mount in the background.
 */
import '../machine.js';
import { words } from '../../runtime/host/call.js';
import { warn } from '../terminal/output.js';
import { startServer } from './background.js';
import { overlayRequest } from './overlay.js';
import { UNIONFS_COMMANDS, unionfsProgram } from './program.js';

const FAILURE = 1;
/** Apart from the exit codes of the command that is run, as with env(1) and docker. */
const EXEC_FAILURE = 125;

/** The launcher's option; the path that it was called by follows. */
const CALLED_AS = '--called-as';

async function runCommand(argv: readonly string[]): Promise<void> {
  const { runProgram } = await import('../program.js');
  const [named = ''] = argv;
  const program = await unionfsProgram(UNIONFS_COMMANDS.includes(named) ? [named] : UNIONFS_COMMANDS);
  await runProgram(program, argv, named === 'exec' ? EXEC_FAILURE : FAILURE);
}

/** The path the program was called by, and its arguments; the launcher hands on its own path. */
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
  request.warnings.forEach(warn);
  await (request.foreground
    ? runCommand(['mount', ...request.mount])
    : startServer(request.mount, 'server.js'));
}

void main();
