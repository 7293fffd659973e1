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

interface Known {
  readonly trail: Trail;
  readonly path: string;
}

/** What was asked last, and its directory: in a walk the next one lies in one of them, and a path may be long. */
let last: Known | undefined;
let directory: Known | undefined;

/** Relative to the root; "" for the root itself. */
export function pathOf(trail: Trail | undefined): string {
  if (trail === undefined) return '';
  const { parent, name } = trail;
  if (parent === undefined) return name;
  const known = [last, directory].find((candidate) => candidate?.trail === parent);
  directory = known ?? { trail: parent, path: namesOf(parent).join('/') };
  last = { trail, path: `${directory.path}/${name}` };
  return last.path;
}
