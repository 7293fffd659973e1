/**
 * The control groups that a process is in, as directories (cgroups(7), /proc/PID/cgroup).
 *
 * Rule: a group above the root of the mount is not visible, and is left out.
 */
import { join, relative } from 'node:path';
import { type MountLine, mountTable } from '../../../fs/sys/mountinfo.js';
import { textOf } from '../../host/text-of.js';

export interface Membership {
  /** The controllers of version 1, or "name=systemd"; empty for version 2. */
  readonly controllers: readonly string[];
  /** The mountpoint of the hierarchy. */
  readonly top: string;
  readonly directory: string;
}

export const isUnified = ({ controllers }: Membership): boolean => controllers.length === 0;

export function membershipsOf(pid: number | 'self'): Membership[] {
  const mounts = mountTable();
  return textOf(`/proc/${pid}/cgroup`)
    .split('\n')
    .flatMap((line) => {
      const [, names, path] = /^\d+:(.*?):(.*)$/.exec(line) ?? [];
      if (names === undefined || path === undefined) return [];
      const controllers = names.split(',').filter((name) => name !== '');
      const mount = mounts.find(({ type, options }) =>
        controllers.length === 0
          ? type === 'cgroup2'
          : type === 'cgroup' && options.includes(controllers[0] ?? ''),
      );
      const directory = mount && directoryIn(mount, path);
      return mount === undefined || directory === undefined
        ? []
        : [{ controllers, top: mount.mountpoint, directory }];
    });
}

function directoryIn({ root, mountpoint }: MountLine, path: string): string | undefined {
  const below = relative(root, path);
  return below.startsWith('..') ? undefined : join(mountpoint, below);
}
