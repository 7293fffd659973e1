/**
 * Collects the facts for `mode.ts` from a host: this one for a command, any host for `tscr doctor`.
 *
 * Rule: facts that need a child process are determined on first use; root needs none of them.
 */
import { FUSE_DEVICE } from '../../fs/transport/device.js';
import type { Host } from '../host/host.js';
import { findHelper } from '../host/programs.js';
import type { ModeFacts, StorageFacts } from './mode.js';
import { subordinateIds } from './subordinate-ids.js';

/** Creates a user namespace and a mount namespace in it; only an attempt shows whether that is permitted. */
export const TRIAL = ['--user', '--keep-caps', '--mount', '--', 'true'] as const;

export function modeFacts(host: Host): ModeFacts {
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

/** Calls `ask` once, on first use. */
function lazily<T>(ask: () => T): () => T {
  let answer: { readonly value: T } | undefined;
  return () => {
    answer ??= { value: ask() };
    return answer.value;
  };
}

/** Why /dev/fuse cannot be used (`StorageFacts.fuseRefusal`). */
export function fuseRefusal(host: Host): StorageFacts['fuseRefusal'] {
  const { path, number } = FUSE_DEVICE;
  const file = host.stat(path);
  if (file !== undefined && file.device !== number) return 'no device';
  return host.openRefusal(path);
}
