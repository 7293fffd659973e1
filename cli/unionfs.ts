#!/usr/bin/env node
/** unionfs: a union filesystem in userspace; by other names, fuse-overlayfs and a helper of mount(8). */
import { realpathSync } from 'node:fs';
import { diffCommand } from './commands/diff.js';
import { explainCommand } from './commands/explain.js';
import { inspectCommand } from './commands/inspect.js';
import { listCommand } from './commands/list.js';
import { mountCommand } from './commands/mount.js';
import { umountCommand } from './commands/umount.js';
import { warn } from './output.js';
import { overlayRequest } from './overlay.js';
import { newProgram, runProgram, version } from './program.js';

const FAILURE = 1;

const program = newProgram('unionfs', 'union filesystem: overlayfs semantics over FUSE')
  .addCommand(mountCommand())
  .addCommand(umountCommand())
  .addCommand(listCommand())
  .addCommand(inspectCommand())
  .addCommand(diffCommand())
  .addCommand(explainCommand());

const [, path = '', ...args] = process.argv;
const commands = program.commands.flatMap((command) => [command.name(), ...command.aliases()]);
const request = overlayRequest(path, args, commands, version());
if (request !== undefined && 'print' in request) {
  process.stdout.write(request.print);
} else {
  if (request !== undefined) {
    request.warnings.forEach(warn);
    process.argv.splice(1, process.argv.length, realpathSync(path), 'mount', ...request.mount);
  }
  await runProgram(program, process.argv.slice(2), FAILURE);
}
