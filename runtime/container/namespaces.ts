/**
 * Entering a mount namespace from Node, without C: unshare(2) through FFI on the main thread, whose children inherit.
 *
 * Rules: mounts made inside do not leak out unless sharing is asked for, which is why propagation is set before
 * anything is mounted. chroot(2) needs the new namespace's private working directory, which unshare brings. A
 * process that has unshared stays inside: programs that must go on outside do this in a child process.
 * Compare unshare(1), mount_namespaces(7).
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { CLONE, MS } from '../../fs/sys/constants.js';
import { chroot, mount, unshare } from '../../fs/sys/syscalls.js';
import { type Command, startable } from '../host/byte-command.js';

/** How mounts made on one side of the namespace appear on the other (mount_namespaces(7)). */
export const PROPAGATION = {
  private: MS.PRIVATE | MS.REC,
  slave: MS.SLAVE | MS.REC,
  shared: MS.SHARED | MS.REC,
} as const;
export type Propagation = keyof typeof PROPAGATION;

const bytes = (path: string): string => Buffer.from(path).toString('latin1');

/** Moves this process into a new mount namespace. Throws `Errno` EPERM without CAP_SYS_ADMIN. */
export function enterMountNamespace(propagation: Propagation): void {
  unshare(CLONE.NEWNS);
  mount('none', '/', null, PROPAGATION[propagation], null);
}

/** Mounts an empty tmpfs on a directory. */
export function mountTmpfs(path: string): void {
  mount('tmpfs', bytes(path), 'tmpfs', 0, null);
}

/** Shows a directory, without what is mounted below it, in a second place. */
export function bindMount(source: string, target: string): void {
  mount(bytes(source), bytes(target), null, MS.BIND, null);
}

/** Makes a directory the root of this process and its children. */
export function enterRoot(path: string): void {
  chroot(bytes(path));
  process.chdir('/');
}

const SIGNAL_BASE = 128;
const SIGNAL_NUMBERS = constants.signals;
const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;

/** Runs a command in this process's namespaces and gives its exit code as a shell would. */
export function runCommand(command: Command): Promise<number> {
  const { command: program, args, env } = startable(command);
  const child = spawn(program, args, { stdio: 'inherit', env });
  return new Promise((resolve, reject) => {
    child.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') resolve(NOT_FOUND);
      else if (error.code === 'EACCES') resolve(NOT_EXECUTABLE);
      else reject(error);
    });
    child.on('exit', (code, signal) => {
      resolve(code ?? SIGNAL_BASE + (signal === null ? 0 : SIGNAL_NUMBERS[signal]));
    });
  });
}
