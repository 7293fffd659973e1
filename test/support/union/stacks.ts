/**
 * Every way in which layers can hold one name, as a model and as `rules/plan.ts` is told of it.
 *
 * A stack is an upper and two lowers, each with the parent directory "p" (or without it), in which a form of entry
 * stands under the name in question. Two names can be built side by side, for renames.
 */
import type { LayerEntry } from '../../../fs/union/rules/merge.js';
import type { Situation } from '../../../fs/union/rules/plan.js';
import { type Place, pathOf } from './machine.js';
import { descend, flatten, flattenUpper, freeze, type Inode, inode, layerInode, type Seen } from './model.js';

export const FORMS = {
  absent: { is: 'absent' },
  file: { is: 'file' },
  symlink: { is: 'symlink' },
  special: { is: 'special' },
  directory: { is: 'directory' },
  'directory opaque by xattr': { is: 'directory', opaque: 'xattr' },
  'directory opaque by .wh..wh..opq inside': { is: 'directory', opaque: 'dot-wh-opq' },
  'directory opaque by .wh.NAME beside it': { is: 'directory', opaque: 'dot-wh' },
  'directory redirected beside it': { is: 'directory', redirect: 'NAME-origin' },
  'directory redirected by a path': { is: 'directory', redirect: '/p/NAME-origin' },
  'whiteout device': { is: 'whiteout', form: 'device' },
  'whiteout .wh.NAME': { is: 'whiteout', form: 'dot-wh' },
  'whiteout xattr': { is: 'whiteout', form: 'xattr' },
} as const satisfies Record<string, LayerEntry>;

export type Form = keyof typeof FORMS;
export const ALL_FORMS = Object.keys(FORMS) as Form[];
/** Upper's `.wh.` names are rewritten before a plan is made (dot-names.ts), so these forms do not exist there. */
export const UPPER_FORMS = ALL_FORMS.filter((form) => !form.includes('.wh.'));

/** What directories hold: names of their own, nothing, or lower names that upper's directory hides by whiteouts. */
export type Contents = 'full' | 'empty' | 'hidden';
/** Where the parent is: in every layer, in the lower ones only, in upper only. */
export type Parent = 'merged' | 'below' | 'above';

export interface Holding {
  /** What upper and the lowers hold, the top one first. */
  readonly forms: readonly [Form, Form, Form];
  readonly contents: Contents;
  readonly parent: Parent;
}

export const describe = ({ forms, contents, parent }: Holding): string =>
  `[${forms.join(' | ')}] ${contents}, parent ${parent}`;

/** Where a redirected directory's lower directories are. */
export const origin = (name: string): string => `${name}-origin`;

function directoryChildren(id: string, contents: Contents, layer: number): Record<string, Inode> {
  if (contents === 'full') {
    const file = (name: string): Inode => layerInode('file', `${id}/${name}`);
    const sub = layerInode('directory', `${id}/sub`, { children: { [`deep${layer}`]: file('deep') } });
    return { common: file('common'), [`own${layer}`]: file('own'), sub };
  }
  if (contents === 'empty') return {};
  if (layer === 0) return { common: inode('whiteout', `${id}/common`) };
  return { common: layerInode('file', `${id}/common`) };
}

/** Puts a form under a name into a layer's directory. */
export function place(
  into: Record<string, Inode>,
  name: string,
  form: Form,
  layer: number,
  contents: Contents,
  id = `${name}@${layer}`,
): void {
  const entry: LayerEntry = FORMS[form];
  const beside = { [`.wh.${name}`]: inode('file', `.wh.${name}`) };
  if (entry.is === 'absent') return;
  if (entry.is === 'whiteout') {
    if (entry.form === 'dot-wh') Object.assign(into, beside);
    else
      into[name] =
        entry.form === 'device' ? inode('whiteout', id) : inode('file', id, { whiteoutXattr: true });
    return;
  }
  if (entry.is !== 'directory') {
    into[name] = layerInode(entry.is, id);
    return;
  }
  const children = directoryChildren(id, contents, layer);
  if (entry.opaque === 'dot-wh-opq') children['.wh..wh..opq'] = inode('file', 'opaque');
  if (entry.opaque === 'dot-wh') Object.assign(into, beside);
  const made = layerInode('directory', id, { children });
  if (entry.opaque === 'xattr') made.opaque = true;
  if (entry.redirect !== undefined) made.redirect = entry.redirect.replace('NAME', name);
  into[name] = made;
}

/** A layer's root, in which the directories of `parents` exist. */
export function emptyLayer(layer: number, parents: readonly string[]): Inode {
  const children = parents.map((name) => [name, layerInode('directory', `${name}@${layer}`)] as const);
  return layerInode('directory', `root@${layer}`, { children: Object.fromEntries(children) });
}

/** Puts a name into a layer; lowers also hold what redirects of the name lead to. */
function fill(root: Inode, directory: string, name: string, holding: Holding, layer: number): void {
  if (layer === 0 ? holding.parent === 'below' : holding.parent === 'above') return;
  root.children[directory] ??= layerInode('directory', `${directory}@${layer}`);
  const { children } = root.children[directory];
  const id = `${directory}/${name}@${layer}`;
  place(children, name, holding.forms[layer] as Form, layer, holding.contents, id);
  if (layer > 0) place(children, origin(name), 'directory', layer, holding.contents, `${id} origin`);
}

export interface Stack {
  readonly upper: Inode;
  /** The top one first. */
  readonly lowers: readonly Inode[];
  /** What the lowers alone show. */
  readonly below: Seen | undefined;
}

/** One name, or the two of a rename, in an upper and two lowers. */
export function build(...names: readonly (readonly [Place, Holding])[]): Stack {
  const layers = [0, 1, 2].map((layer) => {
    const root = emptyLayer(layer, []);
    for (const [{ directory, name }, holding] of names) fill(root, directory[0] ?? '', name, holding, layer);
    return layer === 0 ? root : freeze(root);
  });
  const [upper, ...lowers] = layers;
  if (upper === undefined) throw new Error('no upper');
  return { upper, lowers, below: flatten(lowers.toReversed()) };
}

/** What the plans are told of a name (compare situationOf in fs/union/nodes/situation.ts). */
export function situationOf({ upper, below }: Stack, place: Place, holding: Holding): Situation {
  const entry: LayerEntry = holding.parent === 'below' ? FORMS.absent : FORMS[holding.forms[0]];
  const seen = descend(flattenUpper(upper, below), pathOf(place));
  const inUpper = upper.children[place.directory[0] ?? '']?.children[place.name];
  return {
    upper: entry.is,
    opaque: entry.is === 'directory' && entry.opaque !== undefined,
    redirected: entry.is === 'directory' && entry.redirect !== undefined,
    below: descend(below, pathOf(place))?.kind ?? 'nothing',
    parentMerged: holding.parent !== 'above',
    ...(seen?.kind === 'directory' && { empty: Object.keys(seen.children).length === 0 }),
    ...(inUpper?.kind === 'directory' && { upperEmpty: Object.keys(inUpper.children).length === 0 }),
  };
}

/** Every combination of forms, contents (where directories make them matter) and parents. */
export function everyHolding(): Holding[] {
  const all: Holding[] = [];
  const add = (parent: Parent, forms: Holding['forms']): void => {
    const directories = forms.some((form) => FORMS[form].is === 'directory');
    const contents: readonly Contents[] = directories ? ['full', 'empty', 'hidden'] : ['full'];
    for (const each of contents) all.push({ forms, contents: each, parent });
  };
  for (const top of UPPER_FORMS) add('above', [top, 'absent', 'absent']);
  for (const middle of ALL_FORMS) {
    for (const bottom of ALL_FORMS) {
      add('below', ['absent', middle, bottom]);
      for (const top of UPPER_FORMS) add('merged', [top, middle, bottom]);
    }
  }
  return all;
}
