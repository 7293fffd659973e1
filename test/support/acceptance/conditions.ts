/**
 * What a machine must offer before an acceptance test can mean anything, and what happens when it does not:
 * a loud skip on a developer's machine, a failure in CI.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Context } from 'mocha';
import { idsHere } from '../privilege.js';
import { peer } from './mount.js';

const { CI, UNIONFS_ACCEPTANCE, UNIONFS_TEST_AS, PATH = '' } = process.env;
const IN_CI = CI === 'true';
/** Tests run as an ordinary user on purpose (../rootless/suite.test.ts): what he may not do fails, and is not skipped. */
const AS_USER = UNIONFS_TEST_AS === 'user';
/** Tests give files to users up to nobody, 65534. */
const IDS = 65_535;
const FULL = IN_CI || UNIONFS_ACCEPTANCE === 'full';

/** Reasons why nothing can be mounted or compared here; empty on a fit machine. */
export function missingForMounts(tools: readonly string[]): string[] {
  const reasons = [...missingForFiles()];
  if (peer() !== 'overlay' && !existsSync('/dev/fuse')) reasons.push('/dev/fuse does not exist');
  if (!kernelHasOverlay()) reasons.push('the kernel has no overlayfs to compare with');
  reasons.push(...missingTools(['unshare', 'chroot', 'mount', 'umount', ...tools]));
  return reasons;
}

/** Reasons why trees with owners and marks can be neither made nor listed here (compare ../privilege.ts). */
export function missingForFiles(): string[] {
  const reasons = missingTools(['getfattr', 'setfattr']);
  if (AS_USER) return reasons;
  if (process.getuid?.() !== 0) reasons.push('needs root, of the host or of a user namespace');
  else if (idsHere() < IDS) reasons.push(`needs a user namespace with ${IDS} ids`);
  return reasons;
}

/** The reason why the long test does not run unless it is asked for. */
export function missingForFull(): string[] {
  return FULL ? [] : ['set UNIONFS_ACCEPTANCE=full to run it (minutes, and a Debian mirror)'];
}

/** Skips the suite of `context` with a banner, or fails in CI, when `reasons` is not empty. */
export function requireConditions(context: Context, suite: string, reasons: readonly string[]): void {
  if (reasons.length === 0) return;
  const message = `NOT RUN: ${suite}: ${reasons.join('; ')}`;
  if (IN_CI) throw new Error(message);
  const bar = '!'.repeat(message.length);
  console.warn(`\n${bar}\n${message}\n${bar}\n`);
  context.skip();
}

function missingTools(names: readonly string[]): string[] {
  const directories = PATH.split(delimiter);
  const found = (name: string) => directories.some((directory) => existsSync(join(directory, name)));
  return names.filter((name) => !found(name)).map((name) => `"${name}" is not installed`);
}

function kernelHasOverlay(): boolean {
  const listed = () => /\boverlay$/m.test(readFileSync('/proc/filesystems', 'latin1'));
  if (!listed()) spawnSync('modprobe', ['overlay'], { stdio: 'ignore' });
  return listed();
}
