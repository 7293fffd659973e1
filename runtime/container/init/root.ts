/**
 * Replaces the host's root by the container's, and masks parts of it.
 *
 *     "/" becomes a slave: nothing mounted here reaches the host
 *     a private copy of the root's mounts is attached over the root itself: pivot_root(2) wants a mountpoint
 *     mounts, devices                          mounts.ts, devices.ts
 *     pivot_root(".", "."), old root detached; where it is refused, the root is moved over "/" and entered
 *     read-only and masked paths               hidden.ts
 *
 * Compare with runc's prepareRootfs, pivotRoot, msMoveRoot.
 */
import { readFileSync } from 'node:fs';
import { AT, MNT_DETACH, MS, O } from '../../../fs/sys/constants.js';
import { E, unless } from '../../../fs/sys/errno.js';
import { changeMount, cloneTree, moveMount } from '../../../fs/sys/mount-api.js';
import { fchdir, getcwd, pivotRoot } from '../../../fs/sys/process.js';
import { chdir, chroot, close, mount, openat, umount2 } from '../../../fs/sys/syscalls.js';
import type { RootPropagation } from '../spec/runtime-spec.js';
import { bytes, step, succeeds } from './failure.js';

/** Propagation of the mounts in a new namespace; "shared" with the host is not supported. */
const PROPAGATION: Readonly<Record<RootPropagation, number>> = {
  private: MS.PRIVATE,
  rprivate: MS.PRIVATE | MS.REC,
  slave: MS.SLAVE,
  rslave: MS.SLAVE | MS.REC,
};
const DEFAULT_PROPAGATION: RootPropagation = 'rslave';

/** Opens the root as a mount of its own in this namespace. The caller closes the descriptor. */
export function openRoot(path: string, propagation: RootPropagation | undefined): number {
  return step(`cannot enter the root "${path}"`, () => {
    mount('none', '/', null, PROPAGATION[propagation || DEFAULT_PROPAGATION], null);
    const root = cloneTree(AT.FDCWD, bytes(path), true);
    changeMount(root, { propagation: MS.PRIVATE });
    const place = openat(AT.FDCWD, bytes(path), O.PATH | O.DIRECTORY);
    moveMount(root, place);
    close(place);
    return root;
  });
}

/** Makes `root` the root of this process and of its mount namespace, and detaches the host's. */
export function enterRoot(root: number, noPivot: boolean): void {
  const pivoted = !noPivot && succeeds([E.EINVAL], () => pivot(root));
  if (!pivoted) step('cannot enter the root', () => moveOverRoot(root));
  chdir('/');
}

function pivot(root: number): void {
  const old = openat(AT.FDCWD, '/', O.PATH | O.DIRECTORY);
  try {
    fchdir(root);
    pivotRoot('.', '.');
    fchdir(old);
    mount('none', '.', null, MS.SLAVE | MS.REC, null);
    umount2('.', MNT_DETACH);
  } finally {
    close(old);
  }
}

const MOUNT_LINE = /^\S+ \S+ \S+ \/ (\S+) .*? - (?:proc|sysfs) /;

/**
 * pivot_root(2) does not work on the initial root of a machine (an initramfs). The new root is moved over it; the host's
 * mounts stay below, unreachable by name. Complete mounts of proc and sysfs are unmounted, since they would permit new
 * ones.
 */
function moveOverRoot(root: number): void {
  fchdir(root);
  const full = readFileSync('/proc/self/mountinfo', 'latin1')
    .split('\n')
    .flatMap((line) => MOUNT_LINE.exec(line)?.[1] ?? []);
  const own = `${getcwd()}/`;
  for (const mountpoint of full.filter((path) => !path.startsWith(own))) {
    unless([E.EINVAL, E.ENOENT], () => umount2(mountpoint, MNT_DETACH));
  }
  mount('.', '/', null, MS.MOVE, null);
  chroot('.');
}
