/**
 * Mounts with nodev: the root always, and all mounts if no control group enforces the container's device rules.
 *
 * Rule: devices can be opened only in /dev. Without device rules /dev is nodev too, because root could create a node of
 * the host's disk there; each node is then a bind mount of the host's (`devices.ts`). devpts contains only terminals.
 */
import { posix } from 'node:path';
import type { CapabilitiesSpec, MountSpec } from '../spec/runtime-spec.js';
import { Failure } from './failure.js';

const DEV = '/dev';
const MAY_MOUNT = 'CAP_SYS_ADMIN';
const isDev = ({ destination }: MountSpec): boolean =>
  posix.normalize(destination).replace(/\/$/, '') === DEV;

/**
 * Whether /dev is a bind mount: nothing is created or removed in it (runc's needsSetupDev), and the device rules decide
 * which of its nodes can be opened.
 */
export const isForeignDev = (mounts: readonly MountSpec[]): boolean =>
  mounts.some((mount) => isDev(mount) && bindsOf(mount));

const bindsOf = ({ type, options = [] }: MountSpec): boolean =>
  type === 'bind' || options.includes('bind') || options.includes('rbind');

/** Whether /dev is a mount of its own, so that the root filesystem needs no devices. */
export const hasOwnDev = (mounts: readonly MountSpec[]): boolean => mounts.some(isDev);

/**
 * The same mounts with nodev. Throws `Failure` if that would not suffice: devices would have to be on the root itself, or
 * the command can mount.
 */
export function withoutDevices(
  mounts: readonly MountSpec[],
  capabilities: CapabilitiesSpec = {},
): readonly MountSpec[] {
  if (Object.values(capabilities).some((names) => names?.includes(MAY_MOUNT)))
    throw new Failure(
      `cannot create a control group for device rules on this host, and config.json grants "${MAY_MOUNT}"`,
    );
  if (!hasOwnDev(mounts))
    throw new Failure(
      'cannot create a control group for device rules on this host, and config.json has no mount on "/dev"',
    );
  return mounts.map((mount) => {
    if (mount.type === 'devpts') return mount;
    const options = (mount.options ?? []).filter((option) => option !== 'dev' && option !== 'rdev');
    return { ...mount, options: [...options, mount.type === 'bind' ? 'rnodev' : 'nodev'] };
  });
}
