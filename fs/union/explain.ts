/**
 * Why the merged view shows what it shows under a path: every layer's entry, and what covers it.
 *
 * Rule: the decision is `rules.merge`'s; this only keeps what the merge left out, with the reason.
 */
import { isSymlink } from '../sys/stat.js';
import { statat } from '../sys/syscalls.js';
import { situationOf } from './apply.js';
import type { LayerDirectory } from './layer.js';
import { find, probe } from './lookup.js';
import { DirectoryNode } from './node.js';
import { isEmpty } from './remove.js';
import { ABSENT, type Cover, type LayerEntry, merge, type Situation, type View } from './rules.js';
import type { Union } from './state.js';
import { below } from './view.js';

/** One layer's part in the answer. */
export interface LayerExplanation {
  readonly layer: number;
  readonly path: string;
  readonly isUpper: boolean;
  readonly entry: LayerEntry;
  readonly role: 'shown' | 'merged' | 'deletes' | 'covered' | 'absent';
  /** For a covered entry: the path at which, and the layer by which, it is covered. */
  readonly coveredAt?: string;
  readonly cover?: Cover;
}

export interface Explanation {
  readonly view: View;
  readonly layers: readonly LayerExplanation[];
  /** What the plans of operations depend on; undefined if the parent is not a directory of the view. */
  readonly situation: Situation | undefined;
}

/** A layer on the way down. */
interface Descent {
  /** Its directory; undefined once the layer has none at this path. */
  directory: LayerDirectory | undefined;
  /** Where and by what it was covered, if it was. */
  covered?: { at: string; cover: Cover };
}

const directoryEntry: LayerEntry = { is: 'directory' };

/** Explains the path of `names`, each one character per byte. */
export function explain(union: Union, names: readonly string[]): Explanation {
  const descents: Descent[] = union.layers.map((layer) => ({ directory: layer.root }));
  let entries: LayerEntry[] = union.layers.map(() => directoryEntry);
  let view: View = merge(entries.length, () => directoryEntry);
  let parent: DirectoryNode | undefined = union.root;
  names.forEach((name, depth) => {
    const at = `/${names.slice(0, depth + 1).join('/')}`;
    entries = descents.map(({ directory }) =>
      directory === undefined ? ABSENT : hold(union, directory, name),
    );
    view = merge(descents.length, (layer) => (isCovered(descents[layer]) ? ABSENT : entryAt(entries, layer)));
    cover(descents, view, at);
    if (depth + 1 === names.length) return;
    for (const [layer, descent] of descents.entries()) {
      const isDirectory = entryAt(entries, layer).is === 'directory';
      descent.directory = isDirectory && descent.directory ? below(descent.directory, name) : undefined;
    }
    const node: unknown = parent && find(union, parent, name)?.node;
    parent = node instanceof DirectoryNode ? node : undefined;
  });
  const layers = union.layers.map((layer, index) =>
    describe(layer, index, entryAt(entries, index), descents[index], view),
  );
  return { view, layers, situation: situation(union, parent, names) };
}

const entryAt = (entries: readonly LayerEntry[], layer: number): LayerEntry => entries[layer] ?? ABSENT;
const isCovered = (descent: Descent | undefined): boolean => descent?.covered !== undefined;

/** What the layer holds, whether or not it counts. Layers may lack the directory that others have. */
function hold(union: Union, directory: LayerDirectory, name: string): LayerEntry {
  const dirfd = union.handles.directory(directory);
  const stat = statat(dirfd, name);
  if (stat !== undefined && isSymlink(stat.mode)) return { is: 'symlink' };
  return probe(union, directory, name, true).entry;
}

/** Marks the layers below the one that ended the merge. */
function cover(descents: readonly Descent[], view: View, at: string): void {
  if (view.cover === undefined) return;
  const covering = view.cover;
  for (const [layer, descent] of descents.entries()) {
    if (layer > covering.layer && descent.covered === undefined) descent.covered = { at, cover: covering };
  }
}

function describe(
  layer: { path: string; isUpper: boolean },
  index: number,
  entry: LayerEntry,
  descent: Descent | undefined,
  view: View,
): LayerExplanation {
  const common = { layer: index, path: layer.path, isUpper: layer.isUpper, entry };
  if (entry.is === 'absent') return { ...common, role: 'absent' };
  const covered = descent?.covered;
  if (covered !== undefined) {
    return { ...common, role: 'covered', coveredAt: covered.at, cover: covered.cover };
  }
  if (entry.is === 'whiteout') return { ...common, role: 'deletes' };
  if (view.shows === 'directory')
    return { ...common, role: view.layers.includes(index) ? 'merged' : 'covered' };
  return { ...common, role: 'shown' };
}

function situation(
  union: Union,
  parent: DirectoryNode | undefined,
  names: readonly string[],
): Situation | undefined {
  const name = names.at(-1);
  if (parent === undefined || name === undefined) return undefined;
  const node = find(union, parent, name)?.node;
  const base = situationOf(union, parent, name);
  return node instanceof DirectoryNode ? { ...base, empty: isEmpty(union, node) } : base;
}
