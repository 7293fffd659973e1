/**
 * The nodes and links of /dev that every program expects.
 *
 * Rules: an entry of the image with the same name is replaced. If the kernel refuses mknod(2), or /dev is nodev
 * (`device-guard.ts`), the host's node is bind mounted.
 * Compare with config-linux.md, "Default Devices", and runc's createDevices, setupDevSymlinks.
 */
import { existsSync } from 'node:fs';
import { posix } from 'node:path';
import { AT, O, S } from '../../../fs/sys/constants.js';
import { E } from '../../../fs/sys/errno.js';
import { cloneTree, moveMount } from '../../../fs/sys/mount-api.js';
import { close, fchmodat, fchownat, mknodat, openat, symlinkat, unlinkat } from '../../../fs/sys/syscalls.js';
import type { DeviceSpec } from '../spec/runtime-spec.js';
import { bytes, step, succeeds } from './failure.js';
import { makeDirectory } from './in-root.js';

const EVERYBODY = 0o666;

/** Numbers from the kernel's devices.txt. */
const DEVICES: readonly DeviceSpec[] = [
  { path: '/dev/null', type: 'c', major: 1, minor: 3 },
  { path: '/dev/zero', type: 'c', major: 1, minor: 5 },
  { path: '/dev/full', type: 'c', major: 1, minor: 7 },
  { path: '/dev/random', type: 'c', major: 1, minor: 8 },
  { path: '/dev/urandom', type: 'c', major: 1, minor: 9 },
  { path: '/dev/tty', type: 'c', major: 5, minor: 0 },
];

const LINKS: Readonly<Record<string, string>> = {
  fd: '/proc/self/fd',
  stdin: '/proc/self/fd/0',
  stdout: '/proc/self/fd/1',
  stderr: '/proc/self/fd/2',
  ptmx: 'pts/ptmx',
  ...(existsSync('/proc/kcore') && { core: '/proc/kcore' }),
};

const TYPES = { c: S.IFCHR, u: S.IFCHR, b: S.IFBLK, p: S.IFIFO } as const;

/** Runs `make`; if it fails with EEXIST, removes the entry and tries again. */
function replacing(directory: number, name: string, make: () => void): void {
  if (succeeds([E.EEXIST], make)) return;
  unlinkat(directory, name);
  make();
}

function makeNode(directory: number, name: string, device: DeviceSpec, mayBeMade: boolean): void {
  const { type, major = 0, minor = 0, fileMode = EVERYBODY, uid = 0, gid = 0 } = device;
  const make = (): void => mknodat(directory, name, TYPES[type], major, minor);
  if (!mayBeMade || !succeeds([E.EPERM], () => replacing(directory, name, make))) {
    bindNode(directory, name, device.path);
    return;
  }
  fchownat(directory, name, uid, gid);
  fchmodat(directory, name, fileMode);
}

function bindNode(directory: number, name: string, path: string): void {
  close(openat(directory, name, O.CREAT | O.NOFOLLOW, 0));
  const target = openat(directory, name, O.PATH | O.NOFOLLOW);
  const node = cloneTree(AT.FDCWD, bytes(path), false);
  moveMount(node, target);
  close(node);
  close(target);
}

/**
 * Creates the default devices, those of the specification, and the links.
 * @param mayBeMade whether created nodes can be opened; otherwise the host's are bind mounted
 */
export function makeDevices(root: number, more: readonly DeviceSpec[], mayBeMade: boolean): void {
  for (const device of [...DEVICES, ...more]) {
    step(`cannot create device "${device.path}"`, () => {
      const directory = makeDirectory(root, bytes(posix.dirname(device.path)));
      makeNode(directory, bytes(posix.basename(device.path)), device, mayBeMade);
      close(directory);
    });
  }
  const directory = makeDirectory(root, '/dev');
  for (const [name, target] of Object.entries(LINKS)) {
    step(`cannot create "/dev/${name}"`, () =>
      replacing(directory, name, () => symlinkat(target, directory, name)),
    );
  }
  close(directory);
}
