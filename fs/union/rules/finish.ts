/**
 * Work after the commit point of an operation, or after its failure: its errors cannot change the result any more.
 *
 * Rules: a failed system call here is reported once per kind and errno, on standard error, and the operation goes on;
 * what it leaves undone is invisible (a time, a hint, something in work), or repaired when there is an opportunity. The
 * answer to a request is the one thing that must be known after the commit: it is asked for twice. Compare
 * ovl_set_timestamps after ovl_copy_up_workdir, ovl_cleanup and ovl_cleanup_index in fs/overlayfs, which warn and go on.
 */
import { Errno } from '../../sys/errno.js';
import { report } from '../../sys/report.js';

const reported = new Set<string>();

/** Runs an action whose failure is only reported. @returns whether it succeeded */
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
 * Reads what the reply to a completed change needs, and tries a second time on failure.
 * @param lost is called if that fails too: it invalidates caches, because the reply reports an error for a change that
 *   has been made
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
