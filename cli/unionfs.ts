#!/usr/bin/env node
/** unionfs: a union filesystem in userspace. */
import './machine.js';
import { diffCommand } from './commands/diff.js';
import { explainCommand } from './commands/explain.js';
import { inspectCommand } from './commands/inspect.js';
import { listCommand } from './commands/list.js';
import { mountCommand } from './commands/mount.js';
import { umountCommand } from './commands/umount.js';
import { newProgram, runProgram } from './program.js';

const FAILURE = 1;

const program = newProgram('unionfs', 'union filesystem: overlayfs semantics over FUSE')
  .addCommand(mountCommand())
  .addCommand(umountCommand())
  .addCommand(listCommand())
  .addCommand(inspectCommand())
  .addCommand(diffCommand())
  .addCommand(explainCommand());

await runProgram(program, process.argv.slice(2), FAILURE);
