/**
 * The caller: ids and home directory of the user who started this program, outside any user namespace that it created.
 *
 * Rule: inside its user namespace a program has other ids. Paths that belong to a user (the store, the state of this
 * node) are chosen by the ids outside.
 */
import { userInfo } from 'node:os';
import { isAbsolute } from 'node:path';
import { HostError } from '../../fs/index.js';

/** The id maps of the user namespace: ranges of subordinate ids, or a single id (`id-maps.ts`). */
export type Mapping = 'ranges' | 'single';

export interface Caller {
  /** Outside of `namespace`. */
  readonly uid: number;
  readonly gid: number;
  /** undefined for a uid without a passwd entry. */
  readonly name?: string;
  /** Absolute; undefined if neither HOME nor passwd has one. */
  readonly home?: string;
  /** The id maps of the user namespace that this program created; undefined if it created none. */
  readonly namespace?: Mapping;
}

let known: Caller | undefined;

/** The caller of this process. */
export function caller(): Caller {
  known ??= identify();
  return known;
}

/** Sets the caller after the program has entered a user namespace. */
export function setCaller(who: Caller): void {
  known = who;
}

/** The caller's home directory. Throws `HostError` if there is none. @param instead the fix, for the message */
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

/** The passwd entry of the effective uid; undefined if there is none. */
function passwdEntry(): { username: string; homedir: string } | undefined {
  try {
    return userInfo();
  } catch {
    return undefined;
  }
}
