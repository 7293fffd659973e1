/**
 * Control groups: which version the host uses, and whether this process's own group is delegated to it (cgroups(7),
 * "Delegation").
 *
 * Rule: containers run without control groups, which are needed only for limits on memory, CPUs and processes; so no
 * finding here has the status "missing".
 */
import { join } from 'node:path';
import type { Host } from '../host/host.js';
import { type MountFacts, mountTable } from '../host/mounts.js';
import { asRoot, type Finding, ok, warning } from './finding.js';
import type { Identity } from './identity.js';

export interface CgroupFacts {
  readonly version: 'v1' | 'v2' | 'hybrid' | 'none';
  /** The version 2 controllers of this process's own group. */
  readonly controllers: readonly string[];
  /** This process's own group of version 2 is delegated to it. */
  readonly delegated: boolean;
  /** systemd runs the host. */
  readonly systemd: boolean;
}

export function probeCgroups(host: Host): CgroupFacts {
  const mounts = mountTable(host).filter(({ type }) => type === 'cgroup' || type === 'cgroup2');
  const unified = mounts.find(({ type }) => type === 'cgroup2');
  const own = /^0::(.*)$/m.exec(host.read('/proc/self/cgroup') ?? '')?.[1] ?? '/';
  const directory = unified === undefined ? undefined : join(unified.mountpoint, own);
  return {
    version: versionOf(mounts),
    controllers: (directory === undefined ? '' : (host.read(join(directory, 'cgroup.controllers')) ?? ''))
      .split(/\s+/)
      .filter((word) => word !== ''),
    delegated: directory !== undefined && host.stat(join(directory, 'cgroup.procs'))?.writable === true,
    systemd: host.stat('/run/systemd/system') !== undefined,
  };
}

function versionOf(mounts: readonly MountFacts[]): CgroupFacts['version'] {
  const types = new Set(mounts.map(({ type }) => type));
  if (types.size === 0) return 'none';
  if (types.size === 2) return 'hybrid';
  return types.has('cgroup2') ? 'v2' : 'v1';
}

/** What limits need: --memory, --cpus, --pids-limit. */
const WANTED = ['memory', 'cpu', 'pids'];
const DELEGATE =
  "mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n'" +
  ' > /etc/systemd/system/user@.service.d/delegate.conf && systemctl daemon-reload';
const UNIFIED =
  'add systemd.unified_cgroup_hierarchy=1 to GRUB_CMDLINE_LINUX in /etc/default/grub; update-grub && reboot';

export function judgeCgroups(facts: CgroupFacts, { admin }: Identity): Finding[] {
  const { version, controllers, delegated, systemd } = facts;
  const id = 'cgroups.version';
  if (version === 'none') {
    const fix = asRoot('mount -t cgroup2 cgroup2 /sys/fs/cgroup');
    return [warning(id, 'no control groups are mounted; resource limits are not available', fix)];
  }
  if (admin) return [ok(id, `control groups ${version}`)];
  if (version !== 'v2') {
    const fix = systemd ? asRoot(UNIFIED) : undefined;
    return [
      warning(id, `control groups ${version}; resource limits are not available to ordinary users`, fix),
    ];
  }
  const lacking = WANTED.filter((name) => !controllers.includes(name));
  if (delegated && lacking.length === 0) {
    return [ok(id, `control groups v2, delegated with ${controllers.join(' ')}`)];
  }
  const what = delegated ? `delegated without ${lacking.join(', ')}` : 'not delegated to this user';
  return [
    warning(
      id,
      `control groups v2, ${what}; resource limits are not available`,
      systemd ? asRoot(DELEGATE) : undefined,
    ),
  ];
}
