/**
 * Why the merged view shows what it shows under a path: every layer's entry, and what covers it.
 *
 * Rule: the decision is `rules.merge`'s; this only keeps what the merge left out, with the reason.
 */

import type { LayerDirectory } from '../layers/layer.js';
import { find, probe } from '../nodes/lookup.js';
import { DirectoryNode } from '../nodes/node.js';
import { isEmpty } from '../nodes/readdir.js';
import { situationOf } from '../nodes/situation.js';
import type { Union } from '../nodes/union.js';
import { ABSENT, type Cover, type LayerEntry, merge, type View } from '../rules/merge.js';
import type { Situation } from '../rules/plan.js';
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

/** Explains the path of `names`, each one character per byte. */
export function explain(union: Union, names: readonly string[]): Explanation {
  const descents: Descent[] = union.layers.map((layer) => ({ directory: layer.root }));
  let found: Found[] = descents.map(({ directory }) => ({ entry: { is: 'directory' }, directory }));
  let view: View = merge(found.map(({ entry }) => entry));
  let parent: DirectoryNode | undefined = union.root;
  names.forEach((name, depth) => {
    found = lookIntoAll(union, descents, name);
    view = merge(found.map(({ entry }, layer) => (isCovered(descents[layer]) ? ABSENT : entry)));
    cover(descents, view, `/${names.slice(0, depth + 1).join('/')}`);
    for (const [layer, descent] of descents.entries()) descent.directory = found[layer]?.directory;
    if (depth + 1 === names.length) return;
    const node: unknown = parent && find(union, parent, name)?.node;
    parent = node instanceof DirectoryNode ? node : undefined;
  });
  const layers = union.layers.map((layer, index) =>
    describe(layer, index, found[index]?.entry ?? ABSENT, descents[index], view),
  );
  return { view, layers, situation: situation(union, parent, names) };
}

const isCovered = (descent: Descent | undefined): boolean => descent?.covered !== undefined;

/** What one layer holds, and its directory if it is one. */
interface Found {
  readonly entry: LayerEntry;
  readonly directory: LayerDirectory | undefined;
}

/** What every layer holds, whether or not it counts. A redirect that counts leads the layers below it elsewhere. */
function lookIntoAll(union: Union, descents: readonly Descent[], name: string): Found[] {
  let wanted = name;
  let roots: readonly string[] | undefined;
  return descents.map((descent, layer) => {
    const start = roots === undefined ? descent.directory : descendTo(union, layer, roots);
    const found = lookInto(union, start, wanted);
    const redirect = found.entry.is === 'directory' ? found.entry.redirect : undefined;
    if (redirect !== undefined && !isCovered(descent)) {
      const path = redirect.split('/').filter((part) => part !== '');
      if (redirect.startsWith('/')) roots = path.slice(0, -1);
      wanted = path.at(-1) ?? name;
    }
    return found;
  });
}

function descendTo(union: Union, layer: number, path: readonly string[]): LayerDirectory | undefined {
  return path.reduce<LayerDirectory | undefined>(
    (directory, name) => lookInto(union, directory, name).directory,
    union.layers[layer]?.root,
  );
}

function lookInto(union: Union, directory: LayerDirectory | undefined, name: string): Found {
  if (directory === undefined) return { entry: ABSENT, directory: undefined };
  const { entry } = probe(union, directory, name, true);
  const isDirectory = entry.is === 'directory';
  return { entry, directory: isDirectory ? below(directory, name) : undefined };
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
