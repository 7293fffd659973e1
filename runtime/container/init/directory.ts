/**
 * Enters the working directory, which must be inside the container.
 *
 * Rules: a missing directory is created. It is entered as root first and, if that is not permitted, as the user. A path
 * to the host through an open descriptor (cwd "/proc/self/fd/7", CVE-2024-21626) is outside the root, which getcwd(3)
 * detects.
 */
import { posix } from 'node:path';
import { AT, O } from '../../../fs/sys/constants.js';
import { E, Errno } from '../../../fs/sys/errno.js';
import { getcwd } from '../../../fs/sys/process.js';
import { chdir, close, openat } from '../../../fs/sys/syscalls.js';
import { bytes, Failure } from './failure.js';
import { makeDirectory } from './in-root.js';

/** Enters `path`; false if root has no permission and the user may have it. Throws `Failure`. */
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
      throw new Failure(`the working directory "${path}" is outside the container`);
    throw new Failure(`cannot enter the working directory "${path}": ${error.message}`);
  }
}

/** Errors are ignored, because chdir(2) reports the reason. */
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
