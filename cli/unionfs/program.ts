/**
 * The commands of unionfs, for the program and for the reference that scripts/reference/ generates.
 *
 * Rule: only the requested commands are loaded; starting a server in the background loads none.
 */
import type { Command } from 'commander';
import type { MountOptions } from '../../fs/index.js';
import { words } from '../../runtime/command/call.js';
import { startServer } from './background.js';

/** Passes the arguments of the command line to a server in the background. */
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

export const UNIONFS_COMMANDS: readonly string[] = Object.keys(COMMANDS);

/** The program with some of its commands, by name. */
export async function unionfsProgram(names: readonly string[]): Promise<Command> {
  const { newProgram } = await import('../program.js');
  const program = newProgram('unionfs', 'union filesystem in userspace: overlayfs semantics over FUSE');
  for (const name of names) program.addCommand(await (COMMANDS[name] as () => Promise<Command>)());
  return program;
}
