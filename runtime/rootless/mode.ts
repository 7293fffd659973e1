/**
 * The rootless ladder: from what a host allows to the way a container runs there, the best one first.
 *
 *     root             no user namespace
 *     ranges           a user namespace with the caller's subordinate ids (subuid(5))
 *     one-id           a user namespace with the caller's id alone; other owners are virtual
 *     undefined        no user namespace can be made
 *
 * and beside it the storage: our union; without /dev/fuse the kernel's overlayfs, where it can be mounted and keeps all
 * owners; else a copy of the layers.
 *
 * Rule: pure. Who goes a way (`enter.ts`, `container/root/root-filesystem.ts`) and who foretells it (`doctor/modes.ts`)
 * decide here; both collect the facts with the functions of `facts.ts`.
 */
import type { HelperProgram } from '../host/programs.js';
import type { SubordinateIds } from './subordinate-ids.js';

/** `--userns`: chosen by itself, only the caller's id as root, the caller's own id inside, none. */
export const USER_NAMESPACES = ['auto', 'single', 'keep-id', 'host'] as const;
export type UserNamespace = (typeof USER_NAMESPACES)[number];

export type Rung = 'root' | 'ranges' | 'one-id';

export interface RungFacts {
  readonly uid: number;
  /** The caller's is the only id of its own user namespace, so that root there is no root to files of others. */
  readonly alone: boolean;
  /** A user namespace that can mount can be made. */
  readonly userNamespaces: boolean;
  /** Set-user-id programs have no effect. */
  readonly noNewPrivileges: boolean;
  readonly ids: SubordinateIds;
  readonly newuidmap: HelperProgram;
  readonly newgidmap: HelperProgram;
}

/** Undefined: no container can run. @param wanted "host" is for root only, which the caller has checked */
export function chooseRung(facts: RungFacts, wanted: UserNamespace = 'auto'): Rung | undefined {
  if (wanted === 'host' || (wanted === 'auto' && facts.uid === 0 && !facts.alone)) return 'root';
  if (!facts.userNamespaces) return undefined;
  return wanted !== 'single' && !facts.alone && canMapRanges(facts) ? 'ranges' : 'one-id';
}

function canMapRanges({ noNewPrivileges, ids, newuidmap, newgidmap }: RungFacts): boolean {
  const given = ids.uids.length > 0 && ids.gids.length > 0;
  return given && newuidmap.privileged && newgidmap.privileged && !noNewPrivileges;
}

export interface StorageFacts {
  /** Why /dev/fuse cannot be used: "no device", or the name of open(2)'s error; undefined if it can. */
  readonly fuseRefusal: string | undefined;
  /** The store's filesystem keeps what marks deletions. */
  readonly marks: boolean;
  /** The kernel's overlayfs can be mounted on the store, and does what this container needs. */
  readonly overlay: boolean;
}

export interface Storage {
  readonly driver: 'unionfs' | 'overlay' | 'copy';
  /** The key of the finding that takes the union away (`doctor/finding.ts`). */
  readonly because?: 'fuse.device' | 'store.xattrs';
}

export function chooseStorage(facts: StorageFacts): Storage {
  if (facts.fuseRefusal === undefined)
    return facts.marks ? { driver: 'unionfs' } : { driver: 'copy', because: 'store.xattrs' };
  return { driver: facts.marks && facts.overlay ? 'overlay' : 'copy', because: 'fuse.device' };
}
