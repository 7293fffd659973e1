/** What upper and the lower layers hold under a name: all that the plans of operations depend on (`rules/plan.ts`). */
import { ABSENT, type LayerEntry, merge, type View } from '../rules/merge.js';
import type { Situation } from '../rules/plan.js';
import { candidates, probe } from './lookup.js';
import type { DirectoryNode } from './node.js';
import type { Union } from './union.js';

/** What the lower layers alone show under a name. */
export function viewBelow(union: Union, parent: DirectoryNode, name: string): View {
  return merge(entriesOf(candidates(union, parent.lowers, name)));
}

function* entriesOf(from: Iterable<{ entry: LayerEntry }>): Generator<LayerEntry> {
  for (const { entry } of from) yield entry;
}

export function situationOf(union: Union, parent: DirectoryNode, name: string): Situation {
  const parentMerged = parent.lowers.length > 0;
  const upper: LayerEntry =
    parent.upper === undefined ? ABSENT : probe(union, parent.upper, name, parentMerged).entry;
  return {
    upper: upper.is,
    opaque: upper.is === 'directory' && upper.opaque !== undefined,
    redirected: upper.is === 'directory' && upper.redirect !== undefined,
    below: parentMerged ? viewBelow(union, parent, name).shows : 'nothing',
    parentMerged,
  };
}
