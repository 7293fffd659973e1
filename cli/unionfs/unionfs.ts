/**
 * unionfs: a union filesystem in userspace; by other names, fuse-overlayfs and a helper of mount(8).
 *
 * Rule: only the command that is named is loaded, and nothing but a server's start for a mount in the background.
 */
import type { Command } from 'commander';
import '../machine.js';
import type { MountOptions } from '../../fs/index.js';
import { words } from '../../runtime/host/call.js';
import { warn } from '../terminal/output.js';
import { startServer } from './background.js';
import { overlayRequest } from './overlay.js';

const FAILURE = 1;
/** Apart from the exit codes of the command that is run, as with env(1) and docker. */
const EXEC_FAILURE = 125;

/** The launcher's option; the path that it was called by follows. */
const CALLED_AS = '--called-as';

/** A mount in the background, as the command line has it, is the server's to read. */
const inBackground = ({ transport }: MountOptions): Promise<void> =>
  startServer(
    words().slice(words().indexOf('mount') + 1),
    transport === 'fuse-native' ? 'portable-server.js' : 'server.js',
  );

const inForeground = async (options: MountOptions): Promise<void> =>
  (await import('./server/serving.js')).serve(options);

const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  mount: async () => (await import('./commands/mount.js')).mountCommand({ inForeground, inBackground }),
  umount: async () => (await import('./commands/umount.js')).umountCommand(),
  exec: async () => (await import('./commands/exec.js')).execCommand(),
  list: async () => (await import('./commands/list.js')).listCommand(),
  inspect: async () => (await import('./commands/inspect.js')).inspectCommand(),
  diff: async () => (await import('./commands/diff.js')).diffCommand(),
  explain: async () => (await import('./commands/explain.js')).explainCommand(),
};

async function runCommand(argv: readonly string[]): Promise<void> {
  const { newProgram, runProgram } = await import('../program.js');
  const program = newProgram('unionfs', 'union filesystem: overlayfs semantics over FUSE');
  const [named = ''] = argv;
  const only = Object.hasOwn(COMMANDS, named) ? [named] : Object.keys(COMMANDS);
  for (const name of only) program.addCommand(await (COMMANDS[name] as () => Promise<Command>)());
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
  const request = overlayRequest(program, args, Object.keys(COMMANDS));
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
