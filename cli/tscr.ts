#!/usr/bin/env node
/** tscr: a container runtime on the union filesystem. */
import { commitCommand } from './commands/commit.js';
import { exportCommand } from './commands/export.js';
import { historyCommand } from './commands/history.js';
import { imageCommand } from './commands/image.js';
import { imagesCommand } from './commands/images.js';
import { importCommand } from './commands/import.js';
import { infoCommand } from './commands/info.js';
import { loadCommand } from './commands/load.js';
import { rmiCommand } from './commands/rmi.js';
import { saveCommand } from './commands/save.js';
import { systemCommand } from './commands/system.js';
import { tagCommand } from './commands/tag.js';
import { diffCommand } from './commands/tscr-diff.js';
import { inspectCommand } from './commands/tscr-inspect.js';
import { unshareCommand } from './commands/unshare.js';
import { newProgram, runProgram } from './program.js';

/** docker's exit code for errors of the runtime itself. */
const RUNTIME_ERROR = 125;

const COMMANDS = [
  loadCommand,
  saveCommand,
  importCommand,
  exportCommand,
  imagesCommand,
  imageCommand,
  tagCommand,
  rmiCommand,
  historyCommand,
  inspectCommand,
  diffCommand,
  commitCommand,
  systemCommand,
  infoCommand,
  unshareCommand,
];

const program = newProgram('tscr', 'container runtime').option(
  '--root <dir>',
  'the store (default: TSCR_ROOT, else /var/lib/tscr for root and the data directory for others)',
);
for (const command of COMMANDS) program.addCommand(command());

await runProgram(program, process.argv.slice(2), RUNTIME_ERROR);
