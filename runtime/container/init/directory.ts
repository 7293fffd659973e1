/**
 * The working directory, which must lie inside the container.
 *
 * Rules: a missing one is made; it is entered as root first and, where root may not, as the user. A way to the host that
 * some descriptor left open (cwd "/proc/self/fd/7", CVE-2024-21626) ends outside the root, which getcwd(3) tells.
 */
import { mkdirSync } from 'node:fs';
import { E, Errno } from '../../../fs/sys/errno.js';
import { getcwd } from '../../../fs/sys/process.js';
import { chdir } from '../../../fs/sys/syscalls.js';
import { bytes, Failure } from './failure.js';

const MODE = 0o755;

/** Enters `path`; false if permission is missing and the user may have it. Throws `Failure`. */
export function enterDirectory(path: string, who: 'as root' | 'as the user'): boolean {
  try {
    if (who === 'as root') makeDirectory(path);
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
function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: MODE });
  } catch {}
}
