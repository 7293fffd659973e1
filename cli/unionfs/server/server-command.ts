/** The command line of a server in the background: that of `unionfs mount`, or one of another program. */
import type { MountOptions } from '../../../fs/index.js';
import { newProgram, runProgram } from '../../program.js';
import { warn } from '../../terminal/output.js';
import { mountCommand } from '../commands/mount.js';
import { overlayRequest } from '../overlay.js';

const FAILURE = 1;

/**
 * Says what is wrong with it, and sets the exit code.
 * @param name what the program was called by
 * @param mount mounts, and serves until the mount ends
 */
export async function carryOut(
  name: string,
  words: readonly string[],
  mount: (options: MountOptions) => Promise<void>,
): Promise<void> {
  const program = newProgram('unionfs', 'server of a mount in the background');
  const command = mountCommand({ inForeground: mount, inBackground: mount });
  program.addCommand(command);
  const request = overlayRequest(name, words, [command.name()]);
  if (request !== undefined && 'mount' in request) request.warnings.forEach(warn);
  const mounted = request === undefined ? words : 'mount' in request ? ['mount', ...request.mount] : [];
  await runProgram(program, mounted, FAILURE);
}
