/**
 * The rootless ladder: from what a host allows to the way a container runs there, the best one first.
 *
 *     root             the caller may mount: no user namespace
 *     ranges           a user namespace with the caller's subordinate ids (subuid(5))
 *     one-id           a user namespace with the caller's id alone; other owners are virtual
 *     refused          neither: nothing can be mounted and no root entered
 *
 * and beside it the storage: our union, else a copy of the layers where FUSE cannot be used.
 *
 * Rule: pure. Who runs a container and who examines a host decide by the same function.
 */

export type Rung = 'root' | 'ranges' | 'one-id';

export interface Abilities {
  /** CAP_SYS_ADMIN. */
  readonly admin: boolean;
  /** A user namespace can be made. */
  readonly userNamespace: boolean;
  /** newuidmap and newgidmap work, and the user has ranges in subuid and subgid. */
  readonly ranges: boolean;
  /** FUSE can be mounted: by the caller itself, or in its user namespace. */
  readonly fuse: boolean;
}

export interface Way {
  readonly rung: Rung;
  readonly storage: 'unionfs' | 'copy';
}

/** Undefined: no container can run. */
export function chooseWay({ admin, userNamespace, ranges, fuse }: Abilities): Way | undefined {
  const storage = fuse ? 'unionfs' : 'copy';
  if (admin) return { rung: 'root', storage };
  if (!userNamespace) return undefined;
  return { rung: ranges ? 'ranges' : 'one-id', storage };
}
