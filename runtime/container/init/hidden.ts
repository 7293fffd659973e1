/**
 * Masks and protects files of the kernel (/proc, /sys) that a container must not read or write.
 *
 * Rules: a masked directory is an empty read-only tmpfs, a masked file the null device; a path that does not exist
 * needs no mask. Paths are resolved inside the container's root. Compare with runc's maskPaths, readonlyPath.
 */
import { AT, MOUNT_ATTR, O, S } from '../../../fs/sys/constants.js';
import { E, unless } from '../../../fs/sys/errno.js';
import { changeMount, cloneTree, moveMount, newMount } from '../../../fs/sys/mount-api.js';
import { close, fstat, openat } from '../../../fs/sys/syscalls.js';
import { bytes, Failure, step } from './failure.js';

const DIRECTORY_MASK = [
  ['source', 'tmpfs'],
  ['nr_blocks', '1'],
  ['nr_inodes', '2'],
] as const;

const open = (path: string): number | undefined =>
  unless([E.ENOENT, E.ENOTDIR], () => openat(AT.FDCWD, bytes(path), O.PATH));

/** The null device's number, whatever path leads to it (null(4)). */
const NULL_DEVICE = { major: 1, minor: 3 } as const;

/** Whether a descriptor is open on the null device. */
export function isNullDevice(fd: number): boolean {
  const { mode, rdevMajor, rdevMinor } = fstat(fd);
  return (mode & S.IFMT) === S.IFCHR && rdevMajor === NULL_DEVICE.major && rdevMinor === NULL_DEVICE.minor;
}

/** Makes the mounts at and below each path read-only. */
export function makeReadOnly(paths: readonly string[]): void {
  for (const path of paths) {
    step(`cannot make "${path}" read-only`, () => {
      const place = open(path);
      if (place === undefined) return;
      const tree = cloneTree(place, '', true);
      changeMount(tree, { set: MOUNT_ATTR.RDONLY, recursive: true });
      moveMount(tree, place);
      close(tree);
      close(place);
    });
  }
}

/** Masks each path. */
export function mask(paths: readonly string[]): void {
  for (const path of new Set(paths)) {
    step(`cannot mask "${path}"`, () => {
      const place = open(path);
      if (place === undefined) return;
      const isDirectory = (fstat(place).mode & S.IFMT) === S.IFDIR;
      const cover = isDirectory ? newMount('tmpfs', DIRECTORY_MASK, MOUNT_ATTR.RDONLY) : coverOfFiles();
      moveMount(cover, place);
      close(cover);
      close(place);
    });
  }
}

function coverOfFiles(): number {
  const cover = cloneTree(AT.FDCWD, '/dev/null', false);
  if (!isNullDevice(cover)) throw new Failure('"/dev/null" is not the null device');
  return cover;
}

/** Makes the root mount read-only; mounts below keep their own flags. */
export function makeRootReadOnly(): void {
  const root = openat(AT.FDCWD, '/', O.PATH | O.DIRECTORY);
  step('cannot make the root read-only', () => changeMount(root, { set: MOUNT_ATTR.RDONLY }));
  close(root);
}
