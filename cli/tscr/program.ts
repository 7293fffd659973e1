/**
 * The commands of tscr, for the program and for the reference that scripts/reference/ generates.
 *
 * Rule: only the requested commands are loaded.
 */
import type { Command } from 'commander';
import { enterForLayers } from '../../runtime/namespaces/enter.js';
import { newProgram } from '../program.js';

const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  run: async () => (await import('./commands/container/run.js')).runCommand(),
  ps: async () => (await import('./commands/container/ps.js')).psCommand(),
  rm: async () => (await import('./commands/container/rm.js')).rmCommand(),
  top: async () => (await import('./commands/container/top.js')).topCommand(),
  load: async () => (await import('./commands/image/load.js')).loadCommand(),
  save: async () => (await import('./commands/image/save.js')).saveCommand(),
  import: async () => (await import('./commands/image/import.js')).importCommand(),
  export: async () => (await import('./commands/container/export.js')).exportCommand(),
  images: async () => (await import('./commands/image/images.js')).imagesCommand(),
  image: async () => (await import('./commands/image/image.js')).imageCommand(),
  tag: async () => (await import('./commands/image/tag.js')).tagCommand(),
  rmi: async () => (await import('./commands/image/rmi.js')).rmiCommand(),
  history: async () => (await import('./commands/image/history.js')).historyCommand(),
  inspect: async () => (await import('./commands/system/inspect.js')).inspectCommand(),
  diff: async () => (await import('./commands/container/diff.js')).diffCommand(),
  commit: async () => (await import('./commands/image/commit.js')).commitCommand(),
  bundle: async () => (await import('./commands/container/bundle.js')).bundleCommand(),
  spec: async () => (await import('./commands/container/spec.js')).specCommand(),
  system: async () => (await import('./commands/system/system.js')).systemCommand(),
  info: async () => (await import('./commands/system/info.js')).infoCommand(),
  doctor: async () => (await import('./commands/system/doctor.js')).doctorCommand(),
  unshare: async () => (await import('./commands/system/unshare.js')).unshareCommand(),
};

/** Commands that create, read or remove files of layers, and run in the user namespace; commit enters it on its own. */
const WORK_ON_LAYERS = new Set([
  ...['load', 'import', 'from-host', 'export', 'diff', 'bundle'],
  ...['rm', 'rmi', 'prune', 'df', 'ps', 'check'],
]);

export const TSCR_COMMANDS: readonly string[] = Object.keys(COMMANDS);

/** The program with some of its commands, by name. */
export async function tscrProgram(names: readonly string[]): Promise<Command> {
  const program = newProgram(
    'tscr',
    'container runtime for hosts without a container daemon, overlayfs or root',
  )
    .option(
      '--root <dir>',
      'directory of the store (default: $TSCR_ROOT, else /var/lib/tscr for root, $XDG_DATA_HOME/tscr for others)',
    )
    .hook('preAction', (_, command) => {
      if (WORK_ON_LAYERS.has(command.name())) enterForLayers();
    });
  for (const name of names) program.addCommand(await (COMMANDS[name] as () => Promise<Command>)());
  return program;
}
