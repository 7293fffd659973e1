/**
 * The user and the privileges of this process: credentials(7), capabilities(7), no_new_privs of prctl(2).
 *
 * Rule: CAP_SYS_ADMIN decides, not uid 0: root in a container often lacks it.
 */
import { capabilityNumber } from '../host/capabilities.js';
import type { Host } from '../host/host.js';
import { asRoot, type Finding, type Fix, missing, ok, warning } from './finding.js';

export interface Identity {
  readonly uid: number;
  readonly userName: string | undefined;
  /** CAP_SYS_ADMIN: mount(2) and namespaces need no user namespace. */
  readonly admin: boolean;
  /** Set-user-id programs have no effect. */
  readonly noNewPrivileges: boolean;
  readonly initialUserNamespace: boolean;
  /** The outer container of this process: "docker", "podman", "lxc" ...; undefined on a host. */
  readonly container: string | undefined;
}

const ALL_IDS = /^\s*0\s+0\s+4294967295\s*$/;

export function probeIdentity(host: Host): Identity {
  const status = host.read('/proc/self/status') ?? '';
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  const bit = BigInt(capabilityNumber('CAP_SYS_ADMIN') ?? 0);
  return {
    uid: host.uid,
    userName: host.userName,
    admin: ((effective >> bit) & 1n) === 1n,
    noNewPrivileges: /^NoNewPrivs:\s*1/m.test(status),
    initialUserNamespace: ALL_IDS.test(host.read('/proc/self/uid_map') ?? '0 0 4294967295'),
    container: containerOf(host),
  };
}

/** Files that container engines create in their containers; for others systemd's container interface. */
function containerOf(host: Host): string | undefined {
  if (host.stat('/.dockerenv') !== undefined) return 'docker';
  if (host.stat('/run/.containerenv') !== undefined) return 'podman';
  if (
    /^\d+ \d+ \S+ \S+ \/ .* - (fuse\.unionfs|overlay) tscr[: ]/m.test(host.read('/proc/self/mountinfo') ?? '')
  )
    return 'tscr';
  return host.environment['container'] ?? host.read('/run/systemd/container')?.trim();
}

/** The fix that restarts the outer container with options; undefined for an engine without such options. */
export const restartWith = ({ container }: Identity, options: string): Fix | undefined =>
  container === 'tscr'
    ? undefined
    : asRoot(`${container === 'podman' ? 'podman' : 'docker'} run ${options} ...`);

/** Options of an engine that permit namespaces and mounts. */
export const UNCONFINED = '--security-opt seccomp=unconfined --security-opt apparmor=unconfined';
/** Shows the log of security modules, for a refusal without a known setting. */
export const SEE_REFUSALS = 'journalctl -k | grep -iE "apparmor|selinux|denied"';

const ALLOW_MOUNTS = '--cap-add SYS_ADMIN --security-opt apparmor=unconfined';

export function judgeIdentity(identity: Identity): Finding[] {
  const { uid, admin, container, noNewPrivileges, initialUserNamespace } = identity;
  const where = [
    ...(initialUserNamespace ? [] : ['in a user namespace']),
    ...(container === undefined ? [] : [`in a container of ${container}`]),
  ].join(', ');
  const who = `uid ${uid}${where === '' ? '' : `, ${where}`}`;
  const findings = [
    uid === 0 && !admin
      ? missing('identity.admin', `${who}: root without CAP_SYS_ADMIN`, restartWith(identity, ALLOW_MOUNTS))
      : ok('identity.admin', admin ? `${who}: can mount` : `${who}: an ordinary user`),
  ];
  if (noNewPrivileges && !admin) {
    const detail = 'no_new_privs is set; newuidmap and fusermount3 have no effect';
    findings.push(warning('identity.privileges', detail));
  }
  return findings;
}
