/**
 * The mounts of a specification, in its order.
 *
 * Rules: a mount gets its attributes before it is attached; the mountpoint is a descriptor below the root. /proc and
 * /sys are mounted only on real directories: a symbolic link would put the kernel's files elsewhere. A read-only tmpfs is
 * made read-only at the end, because later mounts may need mountpoints in it. Bind mounts are private by default, as
 * Docker's are.
 * Compare with runc's mountToRootfs.
 */
import { posix } from 'node:path';
import { AT, MOUNT_ATTR, MS, S } from '../../../fs/sys/constants.js';
import { E, Errno, unless } from '../../../fs/sys/errno.js';
import {
  changeMount,
  cloneTree,
  type FilesystemOption,
  moveMount,
  newMount,
} from '../../../fs/sys/mount-api.js';
import { close, fstat } from '../../../fs/sys/syscalls.js';
import { type MountOptions, parseMountOptions } from '../spec/mount-options.js';
import type { MountSpec } from '../spec/runtime-spec.js';
import { mountCgroups } from './cgroup-mounts.js';
import { bytes, Failure, step } from './failure.js';
import { makeDirectory, makeFile, openInRoot } from './in-root.js';

/** Filesystems that show the kernel's own state. */
const KERNEL_FILESYSTEMS = ['proc', 'sysfs'];
const PERMISSIONS = 0o7777;

/** The mountpoint: ".." is resolved as text and stays inside the root, before any link is followed. */
const placeOf = ({ destination }: MountSpec): string => bytes(posix.normalize(destination));

/** Makes all mounts below the directory `root`. */
export function makeMounts(root: number, mounts: readonly MountSpec[], cgroupNamespace: boolean): void {
  for (const mount of mounts) {
    step(`cannot mount "${mount.destination}"`, () => makeMount(root, mount, cgroupNamespace));
  }
  for (const mount of mounts) {
    if (isLateReadOnly(mount)) makeReadOnly(root, placeOf(mount));
  }
}

const isReadOnly = (options: MountOptions): boolean => (options.set & MOUNT_ATTR.RDONLY) !== 0;

function isLateReadOnly({ type, options = [] }: MountSpec): boolean {
  return type === 'tmpfs' && isReadOnly(parseMountOptions(type, options));
}

function makeReadOnly(root: number, path: string): void {
  const fd = openInRoot(root, path);
  if (fd === undefined) throw new Failure(`cannot mount "${path}": it no longer exists`);
  changeMount(fd, { set: MOUNT_ATTR.RDONLY });
  close(fd);
}

function makeMount(root: number, mount: MountSpec, cgroupNamespace: boolean): void {
  const options = parseMountOptions(mount.type, mount.options ?? []);
  if (options.bind) bind(root, mount, options);
  else if (mount.type === 'cgroup' || mount.type === 'cgroup2')
    mountCgroups(makeDirectory(root, placeOf(mount)), options.set, cgroupNamespace);
  else mountFilesystem(root, mount, options);
}

function mountFilesystem(root: number, mount: MountSpec, options: MountOptions): void {
  const { type = 'none' } = mount;
  const links = KERNEL_FILESYSTEMS.includes(type) ? 'none' : 'inside';
  const mode = type === 'tmpfs' ? modeAt(root, placeOf(mount)) : undefined; // before it is mounted
  const target = makeDirectory(root, placeOf(mount), links);
  const made = explaining(type, () =>
    newMount(type, filesystemOptions(mount, options, mode), attributesOf(mount, options)),
  );
  place(made, target, options);
}

/** If parts of /proc are masked in an outer container, the kernel refuses a new proc mount (mount_too_revealing). */
function explaining<T>(type: string, mount: () => T): T {
  const made = type === 'proc' ? unless([E.EPERM], mount) : mount();
  if (made !== undefined) return made;
  throw new Failure(
    'the outer container masks parts of /proc, so the kernel refuses a new one; run it with unmasked paths (docker run --security-opt systempaths=unconfined, podman run --security-opt unmask=ALL)',
  );
}

function attributesOf(mount: MountSpec, { set }: MountOptions): number {
  return isLateReadOnly(mount) ? set & ~MOUNT_ATTR.RDONLY : set;
}

/** The permissions of the mountpoint; undefined if it does not exist. */
function modeAt(root: number, path: string): number | undefined {
  const fd = unless([E.ELOOP, E.ENOTDIR], () => openInRoot(root, path));
  if (fd === undefined) return undefined;
  const { mode } = fstat(fd);
  close(fd);
  return mode & PERMISSIONS;
}

/** A tmpfs without a mode gets that of the directory it `covers`, otherwise tmpfs(5)'s default 1777. */
function filesystemOptions(
  mount: MountSpec,
  options: MountOptions,
  covers: number | undefined,
): FilesystemOption[] {
  const data = options.data.map(
    ([name, value]): FilesystemOption => (value === undefined ? [bytes(name)] : [bytes(name), bytes(value)]),
  );
  const source: FilesystemOption[] = mount.source === undefined ? [] : [['source', bytes(mount.source)]];
  const needsMode = mount.type === 'tmpfs' && !data.some(([name]) => name === 'mode');
  const mode: FilesystemOption[] = needsMode && covers !== undefined ? [['mode', covers.toString(8)]] : [];
  return [...source, ...mode, ...data];
}

function bind(root: number, mount: MountSpec, options: MountOptions): void {
  const source = mount.source ?? '';
  const tree = cloneSource(source, options.recursive);
  const isDirectory = (fstat(tree).mode & S.IFMT) === S.IFDIR;
  const path = placeOf(mount);
  const target = isDirectory ? makeDirectory(root, path) : makeFile(root, path);
  const { set, clear, setBelow, clearBelow } = options;
  if ((set | clear) !== 0) changeMount(tree, { set, clear });
  if ((setBelow | clearBelow) !== 0) changeMount(tree, { set: setBelow, clear: clearBelow, recursive: true });
  place(tree, target, { ...options, ...privateUnlessSaid(options) });
}

function privateUnlessSaid({ propagation, propagationBelow }: MountOptions) {
  return propagation === 0
    ? { propagation: MS.PRIVATE, propagationBelow: true }
    : { propagation, propagationBelow };
}

function cloneSource(source: string, recursive: boolean): number {
  try {
    return cloneTree(AT.FDCWD, bytes(source), recursive);
  } catch (error) {
    if (error instanceof Errno && error.code === E.ENOENT)
      throw new Failure(`mount source "${source}" does not exist`);
    throw error;
  }
}

/** Attaches a mount to its mountpoint and closes both descriptors. */
function place(mount: number, target: number, options: MountOptions): void {
  moveMount(mount, target);
  if (options.propagation !== 0)
    changeMount(mount, { propagation: options.propagation, recursive: options.propagationBelow });
  close(mount);
  close(target);
}
