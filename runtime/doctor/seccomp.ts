/**
 * Seccomp filters: the kernel's seccomp(2), and libseccomp, which compiles them.
 *
 * Rule: a container never runs without its filter, so both are needed. Virtual owners also need notifications to user
 * space (seccomp_unotify(2), Linux 5.0).
 */

import type { Host } from '../host/host.js';
import { installCommand } from '../host/packages.js';
import { asRoot, type Finding, missing, ok, warning } from './finding.js';

export interface SeccompFacts {
  readonly inKernel: boolean;
  readonly notifies: boolean;
  readonly library: boolean;
  /** Commands that install libseccomp, and the distribution's kernel. */
  readonly install: string;
  readonly upgrade: string;
}

const ACTIONS = '/proc/sys/kernel/seccomp/actions_avail';

export function probeSeccomp(host: Host): SeccompFacts {
  const actions = host.read(ACTIONS);
  return {
    inKernel: actions !== undefined || /^Seccomp_filters:/m.test(host.read('/proc/self/status') ?? ''),
    notifies: actions?.split(/\s+/).includes('user_notif') ?? false,
    library: host.hasLibseccomp(),
    install: installCommand(host, 'libseccomp'),
    upgrade: installCommand(host, 'kernel'),
  };
}

export function judgeSeccomp({ inKernel, notifies, library, install, upgrade }: SeccompFacts): Finding[] {
  const kernel = inKernel
    ? notifies
      ? ok('seccomp.kernel', 'the kernel supports seccomp filters')
      : warning('seccomp.kernel', 'the kernel supports seccomp filters, but not their notifications')
    : missing(
        'seccomp.kernel',
        'the kernel is built without CONFIG_SECCOMP_FILTER',
        asRoot(`${upgrade} && reboot`),
      );
  const compiler = library
    ? ok('seccomp.library', 'libseccomp.so.2 is installed')
    : missing('seccomp.library', 'libseccomp.so.2 is not installed', asRoot(install));
  return [kernel, compiler];
}
