/**
 * The rootless ladder: from what a host allows to the way a container runs there, the best one first.
 *
 *     root             no user namespace
 *     ranges           a user namespace with the caller's subordinate ids (subuid(5))
 *     one-id           a user namespace with the caller's id alone; other owners are virtual
 *     refused          no user namespace can be made
 *
 * and beside it the storage: our union, else a copy of the layers where /dev/fuse cannot be opened.
 *
 * Rule: pure. Who runs a container decides alike (`user/ladder.ts`, `chooseDriver`); test/doctor/command.test.ts holds
 * what is foretold against what happens.
 */

export type Rung = 'root' | 'ranges' | 'one-id';

export interface Abilities {
  readonly uid: number;
  /** A user namespace that can mount can be made. */
  readonly userNamespace: boolean;
  /** newuidmap and newgidmap work, and the user has ranges in subuid and subgid. */
  readonly ranges: boolean;
  /** /dev/fuse can be opened. */
  readonly device: boolean;
}

export interface Way {
  readonly rung: Rung;
  readonly storage: 'unionfs' | 'copy';
}

/** Undefined: no container can run. */
export function chooseWay({ uid, userNamespace, ranges, device }: Abilities): Way | undefined {
  const storage = device ? 'unionfs' : 'copy';
  if (uid === 0) return { rung: 'root', storage };
  if (!userNamespace) return undefined;
  return { rung: ranges ? 'ranges' : 'one-id', storage };
}
