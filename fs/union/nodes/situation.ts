/** What upper and the lower layers hold under a name: all that the plans of operations depend on (`rules/plan.ts`). */
import { ABSENT, merge, type View } from '../rules/merge.js';
import type { Situation } from '../rules/plan.js';
import { type Candidate, candidates, collecting, probe } from './lookup.js';
import type { DirectoryNode } from './node.js';
import type { Union } from './union.js';

/** What upper holds, and what the lower layers alone show. */
export function situationOf(union: Union, parent: DirectoryNode, name: string): Situation {
  return classifyName(union, parent, name).situation;
}

/** The same, and the entry that decides what the view shows: each layer is asked once. */
export function classifyName(
  union: Union,
  parent: DirectoryNode,
  name: string,
): { situation: Situation; top: Candidate | undefined } {
  const parentMerged = parent.lowers.length > 0;
  const held = parent.upper && probe(union, parent.upper, name, parentMerged);
  const upper = held?.entry ?? ABSENT;
  const seen: Candidate[] = [];
  const below = parentMerged ? merge(collecting(candidates(union, parent.lowers, name), seen)) : NOTHING;
  const situation = {
    upper: upper.is,
    opaque: upper.is === 'directory' && upper.opaque !== undefined,
    redirected: upper.is === 'directory' && upper.redirect !== undefined,
    below: below.shows,
    parentMerged,
  };
  if (upper.is === 'absent') return { situation, top: 'layer' in below ? seen[below.layer] : undefined };
  return {
    situation,
    top: parent.upper && { directory: parent.upper, name, stat: held?.stat, entry: upper },
  };
}

const NOTHING: View = { shows: 'nothing' };
