/**
 * Enters a new mount namespace: unshare(2) through FFI on the main thread, whose children inherit it.
 *
 * Rules: propagation is set before anything is mounted, so that mounts inside do not appear outside unless requested.
 * chroot(2) needs a private working directory, which unshare(2) of a mount namespace gives. A process cannot leave the new
 * namespace again: a program that must continue outside does this in a child process.
 * Compare unshare(1), mount_namespaces(7).
 */
import { CLONE, MS } from '../../fs/sys/constants.js';
import { toBytes } from '../../fs/sys/path-bytes.js';
import { chroot, mount, unshare } from '../../fs/sys/syscalls.js';

/** How mounts made on one side of the namespace appear on the other (mount_namespaces(7)). */
export const PROPAGATION = {
  private: MS.PRIVATE | MS.REC,
  slave: MS.SLAVE | MS.REC,
  shared: MS.SHARED | MS.REC,
} as const;
export type Propagation = keyof typeof PROPAGATION;

/** Moves this process into a new mount namespace. Throws `Errno` EPERM without CAP_SYS_ADMIN. */
export function enterMountNamespace(propagation: Propagation): void {
  unshare(CLONE.NEWNS);
  mount('none', '/', null, PROPAGATION[propagation], null);
}

/** Mounts an empty tmpfs on a directory. */
export function mountTmpfs(path: string): void {
  mount('tmpfs', toBytes(path), 'tmpfs', 0, null);
}

/** Bind mounts a directory, without mounts below it. */
export function bindMount(source: string, target: string): void {
  mount(toBytes(source), toBytes(target), null, MS.BIND, null);
}

/** Makes a directory the root of this process and its children. */
export function enterRoot(path: string): void {
  chroot(toBytes(path));
  process.chdir('/');
}
