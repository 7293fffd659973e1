/**
 * Where a container's changes are.
 *
 * Rule: the copy driver's directory holds everything; what has changed there is told by comparing. Its work directory,
 * which nothing else uses, was touched when the copy was complete.
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

/** Notes that the copy is complete. */
export function markCopied(work: string): void {
  utimensat(AT.FDCWD, toBytes(work), 'now', 'now');
}
