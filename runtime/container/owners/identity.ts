/**
 * The virtual identity of a process in a user namespace with one id: credentials(7) as setuid(2) and its relatives change
 * them.
 *
 * Rules: a process with the capability can take any id; without it, only ids that it has already. The real process keeps
 * its capabilities when it changes its ids, so a process that is no longer root can take any id but root's: daemons check
 * that they cannot become root again. Nothing here does I/O. Compare __sys_setresuid and its relatives in kernel/sys.c.
 */
import { E, Errno } from '../../../fs/sys/errno.js';

/** Real, effective and saved id. */
export type Ids = readonly [real: number, effective: number, saved: number];

export interface Identity {
  readonly uid: Ids;
  readonly gid: Ids;
  /** undefined until setgroups(2) is called. */
  readonly groups?: readonly number[];
}

export type IdKind = 'uid' | 'gid';

/** The argument that means "no change". */
const KEEP = 0xffffffff;
const MAX_GROUPS = 65536;

/** The ids after setresuid(2), setreuid(2) or setuid(2). */
type Change = (ids: Ids, args: readonly number[], mayBeAnybody: boolean) => Ids;

const or = (id: number | undefined, old: number): number => (id === undefined || id === KEEP ? old : id);

function require(allowed: readonly number[], wanted: readonly number[]): void {
  if (wanted.some((id) => !allowed.includes(id))) throw new Errno(E.EPERM);
}

const setres: Change = ([real, effective, saved], [r, e, s], mayBeAnybody) => {
  const next: Ids = [or(r, real), or(e, effective), or(s, saved)];
  if (!mayBeAnybody) require([real, effective, saved], next);
  return next;
};

const setre: Change = ([real, effective, saved], [r, e], mayBeAnybody) => {
  const next = [or(r, real), or(e, effective)] as const;
  if (!mayBeAnybody) {
    require([real, effective], [next[0]]);
    require([real, effective, saved], [next[1]]);
  }
  const savesToo = (r ?? KEEP) !== KEEP || ((e ?? KEEP) !== KEEP && next[1] !== real);
  return [...next, savesToo ? next[1] : saved];
};

const setOne: Change = ([real, effective, saved], [id], mayBeAnybody) => {
  if (id === undefined || id === KEEP) throw new Errno(E.EINVAL);
  if (mayBeAnybody) return [id, id, id];
  require([real, saved], [id]);
  return [real, effective === id ? effective : id, saved];
};

const CHANGES: Readonly<Record<string, readonly [kind: IdKind, count: number, change: Change]>> = {
  setuid: ['uid', 1, setOne],
  setgid: ['gid', 1, setOne],
  setreuid: ['uid', 2, setre],
  setregid: ['gid', 2, setre],
  setresuid: ['uid', 3, setres],
  setresgid: ['gid', 3, setres],
};

const ROOT = 0;

const mayBecome = ({ uid: [, effective] }: Identity, ids: readonly number[]): boolean =>
  effective === ROOT || !ids.includes(ROOT);

/**
 * The identity after a call that changes ids; undefined for other calls.
 * @param capable whether the process has the capability that the call needs
 * @throws Errno EPERM, EINVAL
 */
export function changed(
  identity: Identity,
  call: string,
  args: readonly number[],
  capable: boolean,
): Identity | undefined {
  const [kind, count, change] = CHANGES[call] ?? [];
  if (kind === undefined || change === undefined) return undefined;
  const ids = args.slice(0, count);
  return { ...identity, [kind]: change(identity[kind], ids, capable && mayBecome(identity, ids)) };
}

/** After setgroups(2). Throws Errno EPERM, EINVAL. */
export function withGroups(identity: Identity, groups: readonly number[], capable: boolean): Identity {
  if (!capable || !mayBecome(identity, groups)) throw new Errno(E.EPERM);
  if (groups.length > MAX_GROUPS) throw new Errno(E.EINVAL);
  return { ...identity, groups };
}

const GETS: Readonly<Record<string, readonly [kind: IdKind, index: 0 | 1]>> = {
  getuid: ['uid', 0],
  geteuid: ['uid', 1],
  getgid: ['gid', 0],
  getegid: ['gid', 1],
};

/** The result of a call that returns one id; undefined for other calls. */
export function idFor(identity: Identity, call: string): number | undefined {
  const [kind, index] = GETS[call] ?? [];
  return kind === undefined || index === undefined ? undefined : identity[kind][index];
}

/** The result of getresuid(2) or getresgid(2); undefined for other calls. */
export function idsFor(identity: Identity, call: string): Ids | undefined {
  if (call === 'getresuid') return identity.uid;
  return call === 'getresgid' ? identity.gid : undefined;
}
