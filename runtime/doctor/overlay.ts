/**
 * The kernel's own overlayfs, for --storage-driver overlay: as root, or since Linux 5.11 in a user namespace.
 *
 * Rule: the union does not need it, so the finding is never "missing". A child tries it on a tmpfs in its own namespaces.
 */

import type { Host } from '../host/host.js';
import { asRoot, type Finding, ok, warning } from './finding.js';
import type { Identity } from './identity.js';

export interface OverlayFacts {
  readonly inKernel: boolean;
  /** This user can mount it, if necessary in a user namespace. */
  readonly works: boolean;
}

const MOUNT_OVERLAY = `mount -n -t tmpfs tmpfs /tmp && cd /tmp && mkdir lower upper work merged &&
mount -n -t overlay -o "$0lowerdir=lower,upperdir=upper,workdir=work" overlay merged`;

export function probeOverlay(host: Host, { admin }: Identity): OverlayFacts {
  const inKernel = /\toverlay$/m.test(host.read('/proc/filesystems') ?? '');
  const namespaces = admin ? ['--mount'] : ['--user', '--map-root-user', '--mount'];
  const option = admin ? '' : 'userxattr,';
  const attempt = host.run('unshare', [...namespaces, 'sh', '-c', MOUNT_OVERLAY, option]);
  return { inKernel, works: attempt?.status === 0 };
}

export function judgeOverlay({ inKernel, works }: OverlayFacts, { admin }: Identity): Finding[] {
  const id = 'overlay.kernel';
  if (works) return [ok(id, `the kernel's overlayfs can be mounted${admin ? '' : ' in a user namespace'}`)];
  if (!inKernel) return [warning(id, 'overlayfs is not available in the kernel', asRoot('modprobe overlay'))];
  return [warning(id, "this user cannot mount the kernel's overlayfs")];
}
