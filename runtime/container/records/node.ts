/**
 * This node, and where what is true on it alone is kept.
 *
 * Rule: a store may be shared between nodes (a home directory on NFS); processes, mounts and locks may not. What runs
 * here is known below /run, or $XDG_RUNTIME_DIR for a user, which no other node sees and no reboot keeps.
 */
import { lstatSync, mkdirSync, readFileSync, type Stats, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { HostError } from '../../../fs/index.js';
import { quoted } from '../../../fs/input/shown.js';
import { temporaryDirectory } from '../../host/temporary.js';
import { caller } from '../../rootless/caller.js';
import type { NodeId } from './record.js';

const PRIVATE = 0o700;
/** Of group and others. */
const OTHERS_WRITE = 0o022;

/** machine-id(5) and the kernel's boot id; a machine without an id is known by its name. */
export function thisNode(): NodeId {
  return {
    machine: firstLine('/etc/machine-id') ?? hostname(),
    boot: firstLine('/proc/sys/kernel/random/boot_id') ?? '',
  };
}

function firstLine(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}

const OWN_DIRECTORY = 'set TSCR_RUN to a directory of your own';

/**
 * The directory of this node's own state; made if need be, private to the user. One that is there stays as it is: it may
 * be read by others, whose files in it would be taken for ours if they could write. Throws `HostError` if it is not so.
 */
export function runtimeDirectory(): string {
  const directory = process.env['TSCR_RUN'] || defaultDirectory(caller().uid);
  make(directory);
  const problem = problemOf(lstatSync(directory));
  if (problem !== undefined) throw new HostError(`${quoted(directory)} ${problem}`, OWN_DIRECTORY);
  return directory;
}

function problemOf(stat: Stats): string | undefined {
  if (stat.isSymbolicLink()) return 'is a symlink';
  if (!stat.isDirectory()) return 'is no directory';
  if (stat.uid !== process.geteuid?.()) return `belongs to uid ${stat.uid}`;
  return (stat.mode & OTHERS_WRITE) === 0 ? undefined : 'may be written by others';
}

/** A session's directory is not always there, and after su(1) it is somebody else's. */
function defaultDirectory(uid: number): string {
  if (uid === 0) return '/run/tscr';
  const { XDG_RUNTIME_DIR: session } = process.env;
  const isUsable =
    session !== undefined && statSync(session, { throwIfNoEntry: false })?.uid === process.getuid?.();
  return isUsable ? join(session, 'tscr') : join(temporaryDirectory(), `tscr-${uid}`);
}

function make(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: PRIVATE });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new HostError(`"${directory}" cannot be made: ${code}`, OWN_DIRECTORY);
  }
}
