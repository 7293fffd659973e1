/**
 * The layers that a container's changes are computed from.
 *
 * Rule: the directory of the copy driver contains all files, so its changes are found by comparison. Its work directory,
 * which has no other use, has the time when the copy was complete.
 */

import type { ChangedStack } from '../../../fs/index.js';
import { AT, O } from '../../../fs/sys/constants.js';
import { toBytes } from '../../../fs/sys/path-bytes.js';
import type { Time } from '../../../fs/sys/stat.js';
import { close, fstat, openat, utimensat } from '../../../fs/sys/syscalls.js';
import type { ContainerRecord } from '../records/record.js';

export function changesOf({ driver, upper, work, init, lowers }: ContainerRecord): ChangedStack {
  const stack = { upper, lowers: [init, ...lowers] };
  return driver === 'copy' ? { ...stack, copied: changeTime(work) } : { ...stack, work };
}

function changeTime(path: string): Time {
  const fd = openat(AT.FDCWD, toBytes(path), O.PATH);
  try {
    return fstat(fd).ctime;
  } finally {
    close(fd);
  }
}

/** Records that the copy is complete. */
export function markCopied(work: string): void {
  utimensat(AT.FDCWD, toBytes(work), 'now', 'now');
}
