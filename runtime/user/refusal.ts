/**
 * Why this system allows no user namespaces, and what its administrator can do about it.
 *
 * Rule: the switches that distributions have, in the order in which the kernel asks them.
 */
import { readFileSync } from 'node:fs';

interface Switch {
  /** Below /proc/sys. */
  readonly file: string;
  /** The value that forbids. */
  readonly forbids: string;
  readonly allow: string;
}

/** Linux; Debian's patch; Ubuntu since 23.10. */
const SWITCHES: readonly Switch[] = [
  { file: 'user/max_user_namespaces', forbids: '0', allow: 'user.max_user_namespaces=65536' },
  { file: 'kernel/unprivileged_userns_clone', forbids: '0', allow: 'kernel.unprivileged_userns_clone=1' },
  {
    file: 'kernel/apparmor_restrict_unprivileged_userns',
    forbids: '1',
    allow: 'kernel.apparmor_restrict_unprivileged_userns=0',
  },
];

/** One line. @param complaint what unshare(1) said */
export function whyRefused(complaint: string): string {
  const uid = process.getuid?.() ?? 0;
  const closed = SWITCHES.find(({ file, forbids }) => settingOf(file) === forbids);
  if (closed !== undefined)
    return `uid ${uid} may not make user namespaces; as root, run "sysctl ${closed.allow}"`;
  const reason = complaint.trim().split('\n')[0]?.replace(/^.*: /, '') ?? '';
  return `uid ${uid} may not make user namespaces: ${reason}; run as root, or outside of this sandbox`;
}

function settingOf(file: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${file}`, 'utf8').trim();
  } catch {
    return undefined;
  }
}
