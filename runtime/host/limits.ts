/** Resource limits that prevent both programs from working (getrlimit(2)). */
import { readFileSync } from 'node:fs';
import { UsageError } from '../../fs/index.js';

/** Node itself takes 20 descriptors, a container's start some 25 more. */
const DESCRIPTORS_NEEDED = 64;

/** Throws `UsageError` if the limit of open files is too low. */
export function requireDescriptors(): void {
  const [, hard] = /^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
  if (hard === undefined || Number(hard) >= DESCRIPTORS_NEEDED) return;
  throw new UsageError(
    `the limit of open files is ${hard}, and at least ${DESCRIPTORS_NEEDED} are needed; run "ulimit -n 1024"`,
  );
}
