/** The kernel version, the processor architecture, and /proc. */

import type { Host } from '../host/host.js';
import { installCommand } from '../host/packages.js';
import { asRoot, type Finding, missing, ok } from './finding.js';

export interface KernelFacts {
  /** uname(2)'s release, e.g. "6.1.0-18-amd64". */
  readonly release: string;
  readonly architecture: string;
  readonly nodeVersion: string;
  /** /proc shows the pid namespace that this process is in. */
  readonly ownProc: boolean;
  /** The command that installs the distribution's newest kernel. */
  readonly install: string;
}

/** The first version with mount_setattr(2), which mounts of layers and containers need. */
const OLDEST = [5, 12] as const;

export function probeKernel(host: Host): KernelFacts {
  const release = host.read('/proc/sys/kernel/osrelease')?.trim() ?? '0.0';
  return {
    release,
    architecture: host.architecture,
    nodeVersion: host.nodeVersion,
    ownProc: showsOwnProcesses(host),
    install: installCommand(host, 'kernel'),
  };
}

/** After `unshare --pid` without --mount-proc, /proc shows another pid namespace, so /proc/PID is another process. */
export const showsOwnProcesses = (host: Host): boolean =>
  host.read('/proc/self/stat')?.startsWith(`${host.pid} `) ?? false;

export const judgeProc = (ownProc: boolean): Finding =>
  ownProc
    ? ok('kernel.proc', '/proc shows the processes of this pid namespace')
    : missing('kernel.proc', '/proc belongs to another pid namespace', asRoot('mount -t proc proc /proc'));

export function kernelSuffices({ release }: KernelFacts): boolean {
  const [major = 0, minor = 0] = release.split('.').map((part) => Number.parseInt(part, 10));
  return major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1]);
}

export function judgeKernel(facts: KernelFacts): Finding[] {
  const { release, architecture, nodeVersion, install } = facts;
  return [
    kernelSuffices(facts)
      ? ok('kernel.release', `Linux ${release}`)
      : missing(
          'kernel.release',
          `Linux ${release} is older than ${OLDEST.join('.')}`,
          asRoot(`${install} && reboot`),
        ),
    judgeProc(facts.ownProc),
    ok('kernel.architecture', `${architecture}, Node ${nodeVersion}`),
  ];
}
