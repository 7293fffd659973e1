/**
 * What the ladder goes by (`mode.ts`), asked of a host: of this one by who goes a way, of any by `tscr doctor`.
 *
 * Rule: what takes a child is found out when it is first asked for; root needs none of it.
 */
import { FUSE_DEVICE } from '../../fs/transport/device.js';
import type { Host } from '../host/host.js';
import { findHelper } from '../host/programs.js';
import type { RungFacts, StorageFacts } from './mode.js';
import { subordinateIds } from './subordinate-ids.js';

/** Makes a user namespace, and a mount namespace in it; only an attempt tells. */
export const TRIAL = ['--user', '--keep-caps', '--mount', '--', 'true'] as const;

export function rungFacts(host: Host): RungFacts {
  const userNamespaces = lazily(() => host.run('unshare', TRIAL)?.status === 0);
  const ids = lazily(() => subordinateIds(host));
  return {
    uid: host.uid,
    alone: isAlone(host),
    get userNamespaces() {
      return userNamespaces();
    },
    get ids() {
      return ids();
    },
    noNewPrivileges: /^NoNewPrivs:\s*1/m.test(host.read('/proc/self/status') ?? ''),
    newuidmap: findHelper(host, 'newuidmap'),
    newgidmap: findHelper(host, 'newgidmap'),
  };
}

/** One line of /proc/self/uid_map with one id. */
const isAlone = (host: Host): boolean => /^\s*\d+\s+\d+\s+1\s*$/.test(host.read('/proc/self/uid_map') ?? '');

/** Asks once, when the answer is first wanted. */
function lazily<T>(ask: () => T): () => T {
  let answer: { readonly value: T } | undefined;
  return () => {
    answer ??= { value: ask() };
    return answer.value;
  };
}

/** Why the device of FUSE cannot be used, as `StorageFacts` has it. */
export function fuseRefusal(host: Host): StorageFacts['fuseRefusal'] {
  const { path, number } = FUSE_DEVICE;
  const file = host.stat(path);
  if (file !== undefined && file.device !== number) return 'no device';
  return host.openRefusal(path);
}
