/**
 * tscr: a container runtime on the union filesystem.
 *
 * Rule: only the command that is named is loaded, so that a container starts without what builds images.
 */
import './machine.js';
import type { Command } from 'commander';
import { requireText, words } from '../runtime/host/call.js';
import { enterForLayers } from '../runtime/user/ladder.js';
import { newProgram, runProgram } from './program.js';

/** docker's exit code for errors of the runtime itself. */
const RUNTIME_ERROR = 125;

const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  run: async () => (await import('./commands/run.js')).runCommand(),
  ps: async () => (await import('./commands/ps.js')).psCommand(),
  rm: async () => (await import('./commands/rm.js')).rmCommand(),
  top: async () => (await import('./commands/top.js')).topCommand(),
  load: async () => (await import('./commands/load.js')).loadCommand(),
  save: async () => (await import('./commands/save.js')).saveCommand(),
  import: async () => (await import('./commands/import.js')).importCommand(),
  export: async () => (await import('./commands/export.js')).exportCommand(),
  images: async () => (await import('./commands/images.js')).imagesCommand(),
  image: async () => (await import('./commands/image.js')).imageCommand(),
  tag: async () => (await import('./commands/tag.js')).tagCommand(),
  rmi: async () => (await import('./commands/rmi.js')).rmiCommand(),
  history: async () => (await import('./commands/history.js')).historyCommand(),
  inspect: async () => (await import('./commands/tscr-inspect.js')).inspectCommand(),
  diff: async () => (await import('./commands/tscr-diff.js')).diffCommand(),
  commit: async () => (await import('./commands/commit.js')).commitCommand(),
  bundle: async () => (await import('./commands/bundle.js')).bundleCommand(),
  spec: async () => (await import('./commands/spec.js')).specCommand(),
  system: async () => (await import('./commands/system.js')).systemCommand(),
  info: async () => (await import('./commands/info.js')).infoCommand(),
  doctor: async () => (await import('./commands/doctor.js')).doctorCommand(),
  unshare: async () => (await import('./commands/unshare.js')).unshareCommand(),
};

/** Those that make, read or remove files with the owners that an image gives them; commit goes there by itself. */
const WORK_ON_LAYERS = new Set([
  ...['load', 'import', 'from-host', 'export', 'diff', 'bundle'],
  ...['rm', 'rmi', 'prune', 'df', 'ps', 'check'],
]);

async function main(argv: readonly string[]): Promise<void> {
  const program = newProgram('tscr', 'container runtime')
    .option(
      '--root <dir>',
      'the store (default: TSCR_ROOT, else /var/lib/tscr for root and the data directory for others)',
    )
    .hook('preAction', (_, command) => {
      if (WORK_ON_LAYERS.has(command.name())) enterForLayers();
    });
  const named = Object.keys(COMMANDS).filter((name) => argv.includes(name));
  const only = argv[0] === 'help' || named.length === 0 ? Object.keys(COMMANDS) : named;
  for (const name of only) program.addCommand(await (COMMANDS[name] as () => Promise<Command>)());
  await runProgram(program, argv, RUNTIME_ERROR, requireText);
}

void main(words());
