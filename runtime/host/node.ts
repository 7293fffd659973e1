/**
 * The identity of this node, and the directory of its own state.
 *
 * Rule: nodes may share a store (a home directory on NFS), but not processes, mounts and locks. The state of this node is
 * in /run, or $XDG_RUNTIME_DIR for a user, which other nodes do not see and a reboot clears.
 */
import { lstatSync, mkdirSync, readFileSync, type Stats, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { HostError } from '../../fs/index.js';
import { type Output, struct, text } from '../../fs/input/schema.js';
import { quoted } from '../../fs/input/shown.js';
import { caller } from './caller.js';
import { temporaryDirectory } from './temporary.js';

/** A machine, and one of its boots. */
export const NODE_ID = struct({ machine: text, boot: text });
export type NodeId = Output<typeof NODE_ID>;

const PRIVATE = 0o700;
/** Of group and others. */
const OTHERS_WRITE = 0o022;

/** machine-id(5) and the kernel's boot id; the host name for a machine without an id. */
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
 * The directory of this node's own state; created with mode 0700 if it is missing. An existing one may be readable by
 * other users, but not writable, since their files would be taken for ours. Throws `HostError` otherwise.
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
  if (!stat.isDirectory()) return 'is not a directory';
  if (stat.uid !== process.geteuid?.()) return `belongs to uid ${stat.uid}`;
  return (stat.mode & OTHERS_WRITE) === 0 ? undefined : 'is writable by other users';
}

/** $XDG_RUNTIME_DIR if it exists and belongs to this user (after su(1) it is another user's), else /tmp/tscr-UID. */
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
    throw new HostError(`cannot create "${directory}": ${code}`, OWN_DIRECTORY);
  }
}
