/**
 * Where a store lies.
 *
 * Rule: what the user names wins (`--root`, then TSCR_ROOT); root's own is the machine's, an ordinary user's lies in
 * the home directory (XDG base directory specification).
 */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { HostError, UsageError } from '../../../fs/index.js';
import { ASK_DOCTOR } from '../../../fs/sys/advice.js';
import { caller, homeOf } from '../../rootless/caller.js';

const SYSTEM_ROOT = '/var/lib/tscr';
const PROGRAM = 'tscr';

/** The absolute path of the store's root. @param given the value of `--root` */
export function storeRoot(given?: string): string {
  if (given === '') throw new UsageError('--root "" names no directory');
  const { TSCR_ROOT, XDG_DATA_HOME } = process.env;
  const named = given ?? TSCR_ROOT;
  if (named !== undefined && named !== '') return resolve(named);
  const who = caller();
  if (who.uid === 0) return SYSTEM_ROOT;
  const hasData = XDG_DATA_HOME !== undefined && isAbsolute(XDG_DATA_HOME);
  const home = (): string => homeOf(who, 'name a store with --root or TSCR_ROOT');
  return join(hasData ? XDG_DATA_HOME : join(home(), '.local', 'share'), PROGRAM);
}

/** Whether the store at `root` can be written by this process. */
export function isWritable(root: string): boolean {
  try {
    requireWritable(root);
    return true;
  } catch (error) {
    if (error instanceof HostError) return false;
    throw error;
  }
}

/**
 * Throws `HostError` if nothing can be written at a store's root, or made where it will be, and if the store is another
 * user's: what root would add there, that user could neither read nor remove.
 */
export function requireWritable(root: string): void {
  let nearest = root;
  while (!existsSync(nearest)) nearest = dirname(nearest);
  try {
    accessSync(nearest, constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new HostError(
      `the store "${root}" cannot be written: ${code}`,
      `name another with --root or TSCR_ROOT, or ${ASK_DOCTOR}`,
    );
  }
  const [owner, self] = [ownerOf(root), process.geteuid?.()];
  if (owner !== undefined && owner !== self)
    throw new HostError(
      `the store "${root}" belongs to uid ${owner}`,
      'work on it as that user, or name another with --root or TSCR_ROOT',
    );
}

/** Whose a store is: of what is in it, or, for root, who may write anywhere, of the directory that it would begin in. */
function ownerOf(root: string): number | undefined {
  const uidOf = (path: string): number | undefined => statSync(path, { throwIfNoEntry: false })?.uid;
  return uidOf(join(root, 'blobs')) ?? (caller().uid === 0 ? uidOf(root) : undefined);
}
