/**
 * Who runs the tests: root of the host, root of a user namespace, or an ordinary user.
 *
 * Rules: what a test expects is the same for all of them wherever the kernel lets it be. Where it cannot be, the test
 * takes what stands here, and test/conformance/exceptions.ts lists those that fail. As overlayfs with `userxattr`, a union
 * without the host's root marks with `user.` attributes and has no redirects.
 */
import { readFileSync } from 'node:fs';

const EVERY_ID = /^\s*0\s+0\s+4294967295\s*$/;

/** Root of the host or of a user namespace. */
export const IS_ROOT = process.getuid?.() === 0;

/** Root of the host: devices, `trusted.` attributes, loop devices, inode flags. */
export const IS_HOST_ROOT = IS_ROOT && EVERY_ID.test(readFileSync('/proc/self/uid_map', 'latin1'));

/** Whoever runs the tests, and somebody without privileges: an ordinary user has but himself. */
export const SELF = process.getuid?.() ?? 0;
export const UNPRIVILEGED = IS_ROOT ? 65_534 : SELF;

/** umount(8) and its option for mounts in use, or what an ordinary user has in their place. */
export const [UNMOUNT, LAZY] = IS_ROOT
  ? ([['umount'], '-l'] as const)
  : ([['fusermount3', '-u'], '-z'] as const);

/** How many ids there are here. */
export function idsHere(): number {
  const lines = readFileSync('/proc/self/uid_map', 'latin1').trim().split('\n');
  return lines.reduce((sum, line) => sum + Number(line.trim().split(/\s+/)[2]), 0);
}

/** The prefix of the marks that the union writes here. */
export const MARK = IS_HOST_ROOT ? 'trusted.overlay.' : 'user.overlay.';

/** A namespace of attributes of regular files and directories that copy-up must keep, beside `user.`. */
export const SECOND_NAMESPACE = IS_HOST_ROOT ? 'trusted.' : 'user.second.';
