/**
 * The working directory, which must lie inside the container.
 *
 * Rules: a missing one is made; it is entered as root first and, where root may not, as the user. A way to the host that
 * some descriptor left open (cwd "/proc/self/fd/7", CVE-2024-21626) ends outside the root, which getcwd(3) tells.
 */
import { posix } from 'node:path';
import { AT, O } from '../../../fs/sys/constants.js';
import { E, Errno } from '../../../fs/sys/errno.js';
import { getcwd } from '../../../fs/sys/process.js';
import { chdir, close, openat } from '../../../fs/sys/syscalls.js';
import { bytes, Failure } from './failure.js';
import { makeDirectory } from './in-root.js';

/** Enters `path`; false if permission is missing and the user may have it. Throws `Failure`. */
export function enterDirectory(path: string, who: 'as root' | 'as the user'): boolean {
  try {
    if (who === 'as root') makeIfMissing(path);
    chdir(bytes(path));
    getcwd();
    return true;
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    if (error.code === E.EACCES && who === 'as root') return false;
    if (error.call === 'getcwd')
      throw new Failure(`the working directory "${path}" is outside of the container`);
    throw new Failure(`cannot enter the working directory "${path}": ${error.message}`);
  }
}

/** What cannot be made cannot be entered either: chdir(2) says why. */
function makeIfMissing(path: string): void {
  const root = openat(AT.FDCWD, '/', O.PATH | O.DIRECTORY);
  try {
    close(makeDirectory(root, bytes(posix.normalize(path))));
  } catch (error) {
    if (!(error instanceof Errno || error instanceof Failure)) throw error;
  } finally {
    close(root);
  }
}
