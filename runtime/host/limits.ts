/** Limits of this process that keep both programs from working at all (getrlimit(2)). */
import { readFileSync } from 'node:fs';
import { UsageError } from '../../fs/index.js';

/** Node itself takes 20 descriptors, a container's start some 25 more. */
const DESCRIPTORS_NEEDED = 64;

/** Throws `UsageError` where too few files may be open at once. */
export function requireDescriptors(): void {
  const [, hard] = /^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
  if (hard === undefined || Number(hard) >= DESCRIPTORS_NEEDED) return;
  throw new UsageError(
    `this process may open ${hard} files at once, and needs ${DESCRIPTORS_NEEDED}; raise the limit: ulimit -n 1024`,
  );
}
