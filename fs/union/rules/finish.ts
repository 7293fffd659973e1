/**
 * What is left to do once an operation is true, or has failed: it can neither fail the operation nor be ignored.
 *
 * Rules: a failed system call here is reported once per kind and errno, on standard error, and the operation goes on;
 * what it leaves undone is invisible (a time, a hint, something in work), or repaired when there is an opportunity. The
 * answer to a request is the one thing that must be known after the commit: it is asked for twice. Compare
 * ovl_set_timestamps after ovl_copy_up_workdir, ovl_cleanup and ovl_cleanup_index in fs/overlayfs, which warn and go on.
 */
import { Errno } from '../../sys/errno.js';
import { report } from '../../sys/report.js';

const reported = new Set<string>();

/** Does what must not fail any more; whether it was done. */
export function finish(what: string, action: () => void): boolean {
  try {
    action();
    return true;
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    reportOnce(what, error);
    return false;
  }
}

function reportOnce(what: string, { message }: Errno): void {
  const line = `${what} failed: ${message}; the operation itself is complete`;
  if (reported.has(line)) return;
  reported.add(line);
  report(`unionfs: ${line} (further failures of this kind are not reported)`);
}

/**
 * Asks for what the answer to a change that is made already needs; a second time if that fails.
 * @param lost what to do when it fails again, so that the change, which is denied, leads nobody astray
 */
export function answered<T>(ask: () => T, lost: () => void): T {
  try {
    return ask();
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
  }
  try {
    return ask();
  } catch (error) {
    lost();
    throw error;
  }
}
