/**
 * What to tell who is refused by the host: by its privileges, its sandbox, its kernel, its filesystems.
 *
 * Rule: an error is one line that ends with what mends it, or with who knows that.
 */
import { E } from './errno.js';

/** Examines the host and names the fixes. */
export const ASK_DOCTOR = 'run "tscr doctor"';

/** Another host would not refuse these. */
const OF_THE_HOST = [
  ...[E.EPERM, E.EACCES, E.EROFS, E.ENOSPC, E.EDQUOT],
  ...[E.ENOSYS, E.ENODEV, E.ENXIO, E.EOPNOTSUPP],
];

/** The end of a message about a call that failed with `code`; empty where the host is not to blame. */
export const adviceFor = (code: number): string => (OF_THE_HOST.includes(code) ? `; ${ASK_DOCTOR}` : '');
