/**
 * Entering a mount namespace from Node, without C: unshare(2) through FFI on the main thread, whose children inherit.
 *
 * Rules: mounts made inside do not leak out unless sharing is asked for, which is why propagation is set before
 * anything is mounted. chroot(2) needs the new namespace's private working directory, which unshare brings. A
 * process that has unshared stays inside: programs that must go on outside do this in a child process.
 * Compare unshare(1), mount_namespaces(7).
 */
import { CLONE, MS } from '../../../fs/sys/constants.js';
import { toBytes } from '../../../fs/sys/path-bytes.js';
import { chroot, mount, unshare } from '../../../fs/sys/syscalls.js';

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

/** Shows a directory, without what is mounted below it, in a second place. */
export function bindMount(source: string, target: string): void {
  mount(toBytes(source), toBytes(target), null, MS.BIND, null);
}

/** Makes a directory the root of this process and its children. */
export function enterRoot(path: string): void {
  chroot(toBytes(path));
  process.chdir('/');
}
