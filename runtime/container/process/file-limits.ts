/**
 * The default limit of open files of a container, if its specification has none.
 *
 * Rule: Node raises its own soft limit to the hard one at startup; the parent process still has the original. A high soft
 * limit harms programs that use select(2) or close every possible descriptor.
 */
import { readFileSync } from 'node:fs';

const LINE = /^Max open files\s+(\d+)\s+(\d+)/m;
/** What Linux gives its first process (INR_OPEN_CUR, INR_OPEN_MAX). */
const KERNEL_DEFAULT = { soft: 1024, hard: 4096 } as const;

function limitsOf(process: number | 'self'): { soft: number; hard: number } {
  try {
    const [, soft, hard] = LINE.exec(readFileSync(`/proc/${process}/limits`, 'latin1')) ?? [];
    if (soft !== undefined && hard !== undefined) return { soft: Number(soft), hard: Number(hard) };
  } catch {}
  return KERNEL_DEFAULT;
}

/** RLIMIT_NOFILE that this process was started with. */
export function fileLimits(): { readonly soft: number; readonly hard: number } {
  const { hard } = limitsOf('self');
  return { soft: Math.min(limitsOf(process.ppid).soft, hard), hard };
}
