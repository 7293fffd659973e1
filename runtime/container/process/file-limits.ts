/**
 * The limit of open files that a container gets unless its specification says.
 *
 * Rule: Node raises its own soft limit to the hard one when it starts, and the old one is lost; the process that
 * started this one still has it. Programs that use select(2), or close every descriptor, suffer from a high one.
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

/** RLIMIT_NOFILE as this process was started with. */
export function fileLimits(): { readonly soft: number; readonly hard: number } {
  const { hard } = limitsOf('self');
  return { soft: Math.min(limitsOf(process.ppid).soft, hard), hard };
}
