/** The command line of a server in the background: of `unionfs mount`, or of another program's name. */
import type { MountOptions } from '../../../fs/index.js';
import { newProgram, runProgram } from '../../program.js';
import { setPrefix, warn } from '../../terminal/output.js';
import { mountCommand } from '../commands/mount.js';
import { overlayRequest } from '../overlay.js';

const FAILURE = 1;

/**
 * Runs the mount, or reports errors and sets the exit code.
 * @param name the path of the program as it was called
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
  setPrefix('unionfs mount');
  const request = overlayRequest(name, words, [command.name()]);
  if (request !== undefined && 'mount' in request) request.warnings.forEach(warn);
  const mounted = request === undefined ? words : 'mount' in request ? ['mount', ...request.mount] : [];
  await runProgram(program, mounted, { failure: FAILURE });
}
