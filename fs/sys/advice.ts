/**
 * The end of an error message: what to do when the host refuses a system call.
 *
 * Rule: an error is one line that ends with the fix, or with what is known about the cause. An error about space, quota,
 * permission or a read-only filesystem names the filesystem; `tscr doctor` is suggested where it can find the cause.
 */
import { existsSync, realpathSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { E } from './errno.js';
import { innermostMount, mountTable } from './mountinfo.js';
import { forNode, toBytes, toText } from './path-bytes.js';

/** Examines the host and prints the fixes. */
export const ASK_DOCTOR = 'run "tscr doctor"';

/** Errors of the host's privileges, sandbox or kernel, which another host would not give. */
const OF_THE_HOST = [E.EPERM, E.ENOSYS, E.ENODEV, E.ENXIO, E.EOPNOTSUPP];

/** Errors of one file or filesystem: the cause, in words that precede the filesystem. */
const OF_THE_DISK = new Map<number, string>([
  [E.ENOSPC, 'no space left on'],
  [E.EDQUOT, 'disk quota exceeded on'],
  [E.EROFS, 'cannot write to the read-only'],
  [E.EACCES, 'permission denied on'],
]);

/**
 * The end of a message about a system call that failed.
 * @param code the errno value
 * @param path the file that the call was about, if it is known
 * @returns text that begins with "; ", or nothing where neither cause nor fix is known
 */
export function adviceFor(code: number, path?: string): string {
  const cause = OF_THE_DISK.get(code);
  if (cause !== undefined) return `; ${cause} ${path === undefined ? 'the filesystem' : filesystemOf(path)}`;
  return OF_THE_HOST.includes(code) ? `; ${ASK_DOCTOR}` : '';
}

/** The type and the mountpoint of the filesystem of a path, or of its nearest parent that exists. */
function filesystemOf(path: string): string {
  let nearest = resolve(path);
  while (!existsSync(forNode(nearest)) && nearest !== dirname(nearest)) nearest = dirname(nearest);
  const mount = innermostMount(mountTable(), realPath(nearest));
  return mount === undefined ? 'the filesystem' : `${mount.type} mounted at "${toText(mount.mountpoint)}"`;
}

function realPath(path: string): string {
  try {
    return realpathSync(forNode(path), 'latin1');
  } catch {
    return toBytes(path); // a directory above it cannot be searched
  }
}
