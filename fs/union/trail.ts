/** The names from the root of a tree to an entry, shared by all that lie below: whole paths are made where they are needed. */
export interface Trail {
  /** Undefined in the root. */
  readonly parent: Trail | undefined;
  /** One character per byte. */
  readonly name: string;
  /** 1 in the root. */
  readonly depth: number;
}

export const below = (parent: Trail | undefined, name: string): Trail => ({
  parent,
  name,
  depth: (parent?.depth ?? 0) + 1,
});

export function namesOf(trail: Trail | undefined): string[] {
  const names: string[] = [];
  for (let at = trail; at !== undefined; at = at.parent) names.push(at.name);
  return names.reverse();
}

/** Relative to the root; "" for the root itself. */
export const pathOf = (trail: Trail | undefined): string => namesOf(trail).join('/');
