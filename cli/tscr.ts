#!/usr/bin/env node
/** tscr: a container runtime on the union filesystem. */
import { specCommand } from './commands/spec.js';
import { unshareCommand } from './commands/unshare.js';
import { newProgram, runProgram } from './program.js';

/** docker's exit code for errors of the runtime itself. */
const RUNTIME_ERROR = 125;

const program = newProgram('tscr', 'container runtime')
  .addCommand(specCommand())
  .addCommand(unshareCommand());

await runProgram(program, process.argv.slice(2), RUNTIME_ERROR);
