/**
 * The path of the store.
 *
 * Rule: `--root`, then TSCR_ROOT; otherwise /var/lib/tscr for root, and the XDG data directory for other users (XDG base
 * directory specification).
 */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { HostError, UsageError } from '../../../fs/index.js';
import { ASK_DOCTOR } from '../../../fs/sys/advice.js';
import { caller, homeOf } from '../../host/caller.js';

const SYSTEM_ROOT = '/var/lib/tscr';
const PROGRAM = 'tscr';

/** The absolute path of the store's root. @param given the value of `--root` */
export function storeRoot(given?: string): string {
  if (given === '') throw new UsageError('option "--root" needs a value');
  const { TSCR_ROOT, XDG_DATA_HOME } = process.env;
  const named = given ?? TSCR_ROOT;
  if (named !== undefined && named !== '') return resolve(named);
  const who = caller();
  if (who.uid === 0) return SYSTEM_ROOT;
  const hasData = XDG_DATA_HOME !== undefined && isAbsolute(XDG_DATA_HOME);
  const home = (): string => homeOf(who, 'choose a store with --root or TSCR_ROOT');
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
 * Throws `HostError` if the store is not writable or cannot be created, and if it belongs to another user, who could
 * neither read nor remove files that root adds.
 */
export function requireWritable(root: string): void {
  let nearest = root;
  while (!existsSync(nearest)) nearest = dirname(nearest);
  try {
    accessSync(nearest, constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new HostError(
      `cannot write to the store "${root}": ${code}`,
      `choose another store with --root or TSCR_ROOT, or ${ASK_DOCTOR}`,
    );
  }
  const [owner, self] = [ownerOf(root), process.geteuid?.()];
  if (owner !== undefined && owner !== self)
    throw new HostError(
      `the store "${root}" belongs to uid ${owner}`,
      'run as that user, or choose another store with --root or TSCR_ROOT',
    );
}

/** The owner of a store: of its blobs directory; for root, who can write anywhere, else of the root directory. */
function ownerOf(root: string): number | undefined {
  const uidOf = (path: string): number | undefined => statSync(path, { throwIfNoEntry: false })?.uid;
  return uidOf(join(root, 'blobs')) ?? (caller().uid === 0 ? uidOf(root) : undefined);
}
