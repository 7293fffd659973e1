/**
 * Who started this program: ids and home directory as they are outside of any user namespace that it made for itself.
 *
 * Rule: a program that goes on in a user namespace of its own is root, or somebody, there. What belongs to a user (the
 * store, the state of this node) is chosen by who that is outside.
 */
import { userInfo } from 'node:os';
import { isAbsolute } from 'node:path';
import { HostError } from '../../fs/index.js';

/** How the ids of a user namespace came about (`id-maps.ts`). */
export type Mapping = 'ranges' | 'single';

export interface Caller {
  /** Outside of `namespace`. */
  readonly uid: number;
  readonly gid: number;
  /** undefined for a uid that the system does not know. */
  readonly name?: string;
  /** Absolute; undefined if neither HOME nor the system names one. */
  readonly home?: string;
  /** What is mapped in the user namespace that this program made for itself; undefined if it made none. */
  readonly namespace?: Mapping;
}

let known: Caller | undefined;

/** The caller of this process. */
export function caller(): Caller {
  known ??= identify();
  return known;
}

/** Makes known who called, after a change of namespaces. */
export function setCaller(who: Caller): void {
  known = who;
}

/** The caller's home directory. Throws `HostError` if there is none. @param instead what to do about it */
export function homeOf({ uid, home }: Caller, instead: string): string {
  if (home === undefined) throw new HostError(`uid ${uid} has no home directory`, instead);
  return home;
}

function identify(): Caller {
  const [uid, gid] = [process.geteuid?.() ?? 0, process.getegid?.() ?? 0];
  const entry = passwdEntry();
  const { HOME } = process.env;
  const home = HOME !== undefined && isAbsolute(HOME) ? HOME : entry?.homedir;
  return { uid, gid, ...(entry && { name: entry.username }), ...(home !== undefined && { home }) };
}

/** What the system knows of the effective uid; undefined if nothing. */
function passwdEntry(): { username: string; homedir: string } | undefined {
  try {
    return userInfo();
  } catch {
    return undefined;
  }
}
