/** The kernel and the machine below the programs. */

import type { Host } from '../host/host.js';
import { asRoot, type Finding, missing, ok } from './finding.js';
import { installCommand } from './packages.js';

export interface KernelFacts {
  /** As uname(2) tells it, e.g. "6.1.0-18-amd64". */
  readonly release: string;
  readonly architecture: string;
  readonly nodeVersion: string;
  /** The command that installs the distribution's newest kernel. */
  readonly install: string;
}

/** mount_setattr(2), with which layers and containers are mounted. */
const OLDEST = [5, 12] as const;

export function probeKernel(host: Host): KernelFacts {
  const release = host.read('/proc/sys/kernel/osrelease')?.trim() ?? '0.0';
  return {
    release,
    architecture: host.architecture,
    nodeVersion: host.nodeVersion,
    install: installCommand(host, 'kernel'),
  };
}

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
    ok('kernel.architecture', `${architecture}, Node ${nodeVersion}`),
  ];
}
