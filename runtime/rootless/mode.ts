/**
 * Chooses the rootless mode and the storage driver from what a host allows, the best first.
 *
 *     root             no user namespace
 *     ranges           a user namespace with the caller's subordinate ids (subuid(5))
 *     one-id           a user namespace with the caller's id alone; other owners are virtual
 *     undefined        no user namespace can be created
 *
 * Storage: the union; without /dev/fuse the kernel's overlayfs, if it can be mounted and stores all owners; else a copy
 * of the layers.
 *
 * Rule: pure functions. The commands (`namespaces/enter.ts`, `container/root/root-filesystem.ts`) and `tscr doctor`
 * (`doctor/modes.ts`) both decide here, and collect the facts with the functions of `facts.ts`.
 */
import type { HelperProgram } from '../host/programs.js';
import type { SubordinateIds } from './subordinate-ids.js';

/** Values of `--userns`: the best mode, the caller's id alone, the caller's own id inside, no user namespace. */
export const USER_NAMESPACES = ['auto', 'single', 'keep-id', 'host'] as const;
export type UserNamespace = (typeof USER_NAMESPACES)[number];

export type RootlessMode = 'root' | 'ranges' | 'one-id';

export interface ModeFacts {
  readonly uid: number;
  /** The current user namespace maps one id, so that its root has no rights over files of other users. */
  readonly alone: boolean;
  /** A user namespace in which mount(2) works can be created. */
  readonly userNamespaces: boolean;
  /** Set-user-id programs have no effect. */
  readonly noNewPrivileges: boolean;
  readonly ids: SubordinateIds;
  readonly newuidmap: HelperProgram;
  readonly newgidmap: HelperProgram;
}

/**
 * The rootless mode; undefined if no container can run.
 * @param wanted the value of `--userns`; the caller has checked that "host" is used by root only
 */
export function chooseMode(facts: ModeFacts, wanted: UserNamespace = 'auto'): RootlessMode | undefined {
  if (wanted === 'host' || (wanted === 'auto' && facts.uid === 0 && !facts.alone)) return 'root';
  if (!facts.userNamespaces) return undefined;
  return wanted !== 'single' && !facts.alone && canMapRanges(facts) ? 'ranges' : 'one-id';
}

function canMapRanges({ noNewPrivileges, ids, newuidmap, newgidmap }: ModeFacts): boolean {
  const given = ids.uids.length > 0 && ids.gids.length > 0;
  return given && newuidmap.privileged && newgidmap.privileged && !noNewPrivileges;
}

export interface StorageFacts {
  /** Why /dev/fuse cannot be used: "no device", or the name of open(2)'s error; undefined if it can. */
  readonly fuseRefusal: string | undefined;
  /** The store's filesystem can store whiteouts and opaque marks. */
  readonly marks: boolean;
  /** The kernel's overlayfs can be mounted on the store, and does what this container needs. */
  readonly overlay: boolean;
}

export interface Storage {
  readonly driver: 'unionfs' | 'overlay' | 'copy';
  /** The id of the finding that rules out the union (`doctor/finding.ts`). */
  readonly because?: 'fuse.device' | 'store.xattrs';
}

export function chooseStorage(facts: StorageFacts): Storage {
  if (facts.fuseRefusal === undefined)
    return facts.marks ? { driver: 'unionfs' } : { driver: 'copy', because: 'store.xattrs' };
  return { driver: facts.marks && facts.overlay ? 'overlay' : 'copy', because: 'fuse.device' };
}
