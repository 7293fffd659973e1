/**
 * Mounts on which no device can be opened (nodev): of the root always, and of everything where no control group holds the
 * container's device rules.
 *
 * Rule: devices are opened in /dev alone. Without rules /dev is nodev, too: root could make the host's disk there. Its
 * nodes are then the host's, each a mount of its own (`devices.ts`). A devpts holds nothing but terminals.
 */
import { posix } from 'node:path';
import type { CapabilitiesSpec, MountSpec } from '../spec/runtime-spec.js';
import { Failure } from './failure.js';

const DEV = '/dev';
const MAY_MOUNT = 'CAP_SYS_ADMIN';
const isDev = ({ destination }: MountSpec): boolean =>
  posix.normalize(destination).replace(/\/$/, '') === DEV;

/**
 * Whether /dev is somebody else's, shown by a bind: nothing is made in it, or removed (runc's needsSetupDev). Its nodes
 * are what they are, and the rules decide which of them open.
 */
export const isForeignDev = (mounts: readonly MountSpec[]): boolean =>
  mounts.some((mount) => isDev(mount) && bindsOf(mount));

const bindsOf = ({ type, options = [] }: MountSpec): boolean =>
  type === 'bind' || options.includes('bind') || options.includes('rbind');

/** Whether /dev is a mount of the container's own, so that the root needs no devices. */
export const hasOwnDev = (mounts: readonly MountSpec[]): boolean => mounts.some(isDev);

/**
 * The same mounts, without devices. Throws `Failure` where they would not keep devices out: the root itself would have to
 * hold them, or the command may mount.
 */
export function withoutDevices(
  mounts: readonly MountSpec[],
  capabilities: CapabilitiesSpec = {},
): readonly MountSpec[] {
  if (Object.values(capabilities).some((names) => names?.includes(MAY_MOUNT)))
    throw new Failure(
      `this host lets no control group be made for device rules, and "${MAY_MOUNT}" is in the specification`,
    );
  if (!hasOwnDev(mounts))
    throw new Failure(
      'this host lets no control group be made for device rules, and the specification mounts nothing on "/dev"',
    );
  return mounts.map((mount) => {
    if (mount.type === 'devpts') return mount;
    const options = (mount.options ?? []).filter((option) => option !== 'dev' && option !== 'rdev');
    return { ...mount, options: [...options, mount.type === 'bind' ? 'rnodev' : 'nodev'] };
  });
}
