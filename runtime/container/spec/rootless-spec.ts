/**
 * Adapts a specification to a user namespace.
 *
 * Rules: only mapped ids exist. Mounting sysfs needs a network namespace of the same user namespace: with the host's
 * network, the host's /sys is bind mounted read-only. Compare containers/common's rootless adjustments and runc's specconv.ToRootless.
 */
import { readFileSync } from 'node:fs';
import { HostError } from '../../../fs/index.js';
import { isInitialUserNamespace } from '../../../fs/layers.js';
import { ASK_DOCTOR } from '../../../fs/sys/advice.js';
import { caller } from '../../host/caller.js';
import { boundingCapabilities } from '../../host/capabilities.js';
import { currentMaps, type IdMaps, isMapped } from '../../rootless/id-maps.js';
import type { UserNamespace } from '../../rootless/mode.js';
import type { OwnUser } from './own-user.js';
import type { MountSpec, RuntimeSpec } from './runtime-spec.js';
import type { ContainerUser } from './users.js';
import type { Mount } from './volumes.js';

const HOST_SYS: MountSpec = {
  destination: '/sys',
  type: 'bind',
  source: '/sys',
  options: ['rbind', 'rprivate', 'nosuid', 'noexec', 'nodev', 'ro'],
};

/** The specification, reduced to what this process's bounding set and user namespace permit. */
export function forOwnNamespace(spec: RuntimeSpec): RuntimeSpec {
  const bounded = withinBounds(spec);
  return isInitialUserNamespace() ? bounded : withoutPrivilege(bounded);
}

/** capset(2) refuses capabilities that are not in the bounding set, which is small inside other containers. */
function withinBounds(spec: RuntimeSpec): RuntimeSpec {
  const bounds = boundingCapabilities();
  const { capabilities = {} } = spec.process;
  const kept = Object.entries(capabilities).map(([set, names]) => [
    set,
    names?.filter((name: string) => bounds.has(name)),
  ]);
  return { ...spec, process: { ...spec.process, capabilities: Object.fromEntries(kept) } };
}

function withoutPrivilege(spec: RuntimeSpec): RuntimeSpec {
  const maps = currentMaps();
  const ownNetwork = spec.linux.namespaces.some(({ type }) => type === 'network');
  const mounts = (spec.mounts ?? []).map((mount) => {
    if (mount.type === 'sysfs' && !ownNetwork) return { ...HOST_SYS, destination: mount.destination };
    return mount.type === 'devpts' ? withoutUnmappedGroup(mount, maps) : mount;
  });
  return { ...spec, mounts };
}

/** Removes devpts' gid option if that group is not mapped. */
function withoutUnmappedGroup(mount: MountSpec, { gids }: IdMaps): MountSpec {
  const options = (mount.options ?? []).filter((option) => {
    const gid = /^gid=(\d+)$/.exec(option)?.[1];
    return gid === undefined || isMapped(gids, Number(gid));
  });
  return { ...mount, options };
}

/** The default user of the command: the caller with keep-id, else the image's user. */
export function defaultUser(image: string | undefined, userns: UserNamespace): string {
  return userns === 'keep-id' ? `${caller().uid}:${caller().gid}` : (image ?? '');
}

/** The user with those of its groups that are mapped. Throws `HostError` if the user is not mapped. */
export function mappedUser(user: ContainerUser): ContainerUser {
  if (isInitialUserNamespace()) return user;
  const { uids, gids } = currentMaps();
  const { uid, gid, groups } = user;
  if (isMapped(uids, uid) && isMapped(gids, gid))
    return { ...user, groups: groups.filter((group) => isMapped(gids, group)) };
  const ids = uids.map(({ inside }) => inside).join(', ');
  throw new HostError(
    `user ${uid}:${gid} does not exist in this user namespace; it has only ${ids}`,
    `use that with --user, or ${ASK_DOCTOR}`,
  );
}

/** The caller's home directory, if a volume contains it. */
function shownHome(mounts: readonly Mount[]): string | undefined {
  const { home } = caller();
  const isShown = mounts.some(
    ({ destination }) => home === destination || home?.startsWith(`${destination}/`),
  );
  return isShown ? home : undefined;
}

/** With keep-id, HOME is the caller's home directory if a volume contains it. */
export function withOwnHome(user: ContainerUser, mounts: readonly Mount[]): ContainerUser {
  const { uid, namespace } = caller();
  const home = shownHome(mounts);
  return namespace !== undefined && user.uid === uid && home !== undefined ? { ...user, home } : user;
}

/** The caller as a user of the container. @param workdir the home directory if no volume contains the caller's */
export function ownUser(mounts: readonly Mount[], workdir: string): OwnUser {
  const { uid, gid, name } = caller();
  return { uid, gid, name, groupName: groupName(gid), home: shownHome(mounts) ?? workdir };
}

/** The name of a group in the host's /etc/group. */
function groupName(gid: number): string | undefined {
  try {
    const groups = readFileSync('/etc/group', 'latin1').split('\n');
    return groups.map((line) => line.split(':')).find(([, , id]) => id === `${gid}`)?.[0];
  } catch {
    return undefined;
  }
}
