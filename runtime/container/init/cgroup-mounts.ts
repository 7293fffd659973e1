/**
 * The control groups that a container sees: its own, and nothing above.
 *
 * Rules: with version 2 only, one mount; otherwise a tmpfs with a directory for each hierarchy of the host, including
 * "unified" for version 2. In a cgroup namespace the hierarchies are mounted again, because their roots are the
 * container's; without one, the container's directory of the host's mount is bind mounted. Compare with runc's mountCgroupV1 and mountCgroupV2.
 */
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { AT, MOUNT_ATTR, O } from '../../../fs/sys/constants.js';
import { E, unless } from '../../../fs/sys/errno.js';
import {
  changeMount,
  cloneTree,
  type FilesystemOption,
  moveMount,
  newMount,
} from '../../../fs/sys/mount-api.js';
import { close, mkdirat, openat, symlinkat } from '../../../fs/sys/syscalls.js';

const DIRECTORY_MODE = 0o755;

/** A hierarchy as /proc/self/mountinfo shows it, with this process's directory in it. */
interface Hierarchy {
  readonly type: 'cgroup' | 'cgroup2';
  readonly mountpoint: string;
  /** Controllers or "name=systemd"; empty for version 2. */
  readonly options: readonly FilesystemOption[];
  readonly own: string;
}

const MOUNT_LINE = /^\S+ \S+ \S+ (\S+) (\S+) .*? - (cgroup2?) \S+ (\S+)$/;
const WORDS_OF_EVERY_MOUNT = ['rw', 'ro', 'relatime', 'nosuid', 'nodev', 'noexec'];

function hierarchies(): Hierarchy[] {
  const own = new Map(
    readFileSync('/proc/self/cgroup', 'latin1')
      .split('\n')
      .map((line): [string, string] => {
        const [, controllers = '', ...path] = line.split(':');
        return [controllers, path.join(':')];
      }),
  );
  return readFileSync('/proc/self/mountinfo', 'latin1')
    .split('\n')
    .flatMap((line): Hierarchy[] => {
      const [, root = '', mountpoint = '', type, words = ''] = MOUNT_LINE.exec(line) ?? [];
      if (type === 'cgroup2')
        return [{ type, mountpoint, options: [], own: below(root, own.get('') ?? '/') }];
      if (type !== 'cgroup') return [];
      const names = words.split(',').filter((word) => !WORDS_OF_EVERY_MOUNT.includes(word));
      const named = [...own.keys()].find(
        (key) => key !== '' && key.split(',').every((k) => names.includes(k)),
      );
      const options = (named ?? '').split(',').map((word): FilesystemOption => {
        const [name = '', value] = word.split('=');
        return value === undefined ? [name] : [name, value];
      });
      return named === undefined
        ? []
        : [{ type, mountpoint, options, own: below(root, own.get(named) ?? '/') }];
    });
}

/** Removes duplicates, which a bind mount of the host's /sys adds. */
function distinct(all: readonly Hierarchy[]): Hierarchy[] {
  const nameOf = ({ mountpoint }: Hierarchy): string => basename(mountpoint);
  return all.filter((one, index) => all.findIndex((other) => nameOf(other) === nameOf(one)) === index);
}

/** A process's directory within a mount whose root may itself lie deeper in the hierarchy. */
function below(root: string, path: string): string {
  return root !== '/' && path.startsWith(root) ? path.slice(root.length) : path;
}

/** The mount's descriptor; undefined where the host's mount no longer shows the directory. */
function showHierarchy(hierarchy: Hierarchy, attributes: number, namespace: boolean): number | undefined {
  if (namespace) return newMount(hierarchy.type, [['source', 'cgroup'], ...hierarchy.options], attributes);
  const own = join(hierarchy.mountpoint, hierarchy.own);
  const tree = unless([E.ENOENT], () => cloneTree(AT.FDCWD, own, false));
  if (tree !== undefined) changeMount(tree, { set: attributes });
  return tree;
}

/** Mounts the control groups on the directory `target`, and closes it. */
export function mountCgroups(target: number, attributes: number, namespace: boolean): void {
  const found = distinct(hierarchies());
  const [only] = found;
  if (found.length === 1 && only?.type === 'cgroup2') {
    const mount = showHierarchy(only, attributes, namespace);
    if (mount !== undefined) attach(mount, target);
  } else {
    mountTogether(target, found, attributes, namespace);
  }
  close(target);
}

/** A tmpfs with a directory for each hierarchy. */
function mountTogether(
  target: number,
  found: readonly Hierarchy[],
  attributes: number,
  namespace: boolean,
): void {
  const options: FilesystemOption[] = [
    ['source', 'tmpfs'],
    ['mode', '755'],
  ];
  const top = newMount('tmpfs', options, attributes & ~MOUNT_ATTR.RDONLY);
  moveMount(top, target);
  for (const hierarchy of found) {
    const mount = showHierarchy(hierarchy, attributes, namespace);
    if (mount !== undefined) attachBelow(top, basename(hierarchy.mountpoint), mount);
  }
  changeMount(top, { set: attributes & MOUNT_ATTR.RDONLY });
  close(top);
}

function attach(mount: number, target: number): void {
  moveMount(mount, target);
  close(mount);
}

/** Joint hierarchies such as "cpu,cpuacct" are also found under each controller's name. */
function attachBelow(top: number, name: string, mount: number): void {
  mkdirat(top, name, DIRECTORY_MODE);
  const directory = openat(top, name, O.PATH | O.DIRECTORY | O.NOFOLLOW);
  attach(mount, directory);
  close(directory);
  if (!name.includes(',')) return;
  for (const controller of name.split(',')) unless([E.EEXIST], () => symlinkat(name, top, controller));
}
