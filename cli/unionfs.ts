#!/usr/bin/env node
/** unionfs: a union filesystem in userspace. */
import { diffCommand } from './commands/diff.js';
import { execCommand } from './commands/exec.js';
import { explainCommand } from './commands/explain.js';
import { inspectCommand } from './commands/inspect.js';
import { listCommand } from './commands/list.js';
import { mountCommand } from './commands/mount.js';
import { umountCommand } from './commands/umount.js';
import { newProgram, runProgram } from './program.js';

const FAILURE = 1;
/** Apart from the exit codes of the command that is run, as with env(1) and docker. */
const EXEC_FAILURE = 125;

const program = newProgram('unionfs', 'union filesystem: overlayfs semantics over FUSE')
  .addCommand(mountCommand())
  .addCommand(umountCommand())
  .addCommand(execCommand())
  .addCommand(listCommand())
  .addCommand(inspectCommand())
  .addCommand(diffCommand())
  .addCommand(explainCommand());

const argv = process.argv.slice(2);
await runProgram(program, argv, argv[0] === 'exec' ? EXEC_FAILURE : FAILURE);
