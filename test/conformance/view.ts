/**
 * What the pure rules say that a stack of layers shows: layers read as a user sees them, merged by `rules.merge`
 * alone. Nothing of the engine takes part, so that a mount can be compared with it.
 */

import { ABSENT, type LayerEntry, merge, type OpaqueForm } from '../../fs/union/rules/merge.js';
import { describeTree, diffTrees, type Entry, type Tree } from '../support/acceptance/tree.js';

const MARKS = ['trusted.overlay.', 'user.overlay.', 'user.fuseoverlayfs.'];
/** Depend on what else is in the tree. */
const RELATIVE_FIELDS = ['nlink', 'same file as'];
const DOT_WHITEOUT = '.wh.';
const YES = '79';
const MARKED = '78';
const ROOT = '.';
/** A field of the model's own: a lower file with several names. */
const INDEXED = 'indexed';

/** A directory of a layer; the layers are numbered from the top. */
interface Place {
  readonly layer: number;
  readonly path: string;
}

interface Candidate extends Place {
  readonly entry: LayerEntry;
}

/** The fields of a tree that a merged view inherits from one layer's entry, without the union's own marks. */
function inherited(tree: Tree): Tree {
  const kept = ([field]: [string, string]): boolean =>
    !RELATIVE_FIELDS.includes(field) && !MARKS.some((mark) => field.startsWith(`xattr ${mark}`));
  const strip = (entry: Entry): Entry => Object.fromEntries(Object.entries(entry).filter(kept)) as Entry;
  return new Map([...tree].map(([path, entry]) => [path, strip(entry)]));
}

/**
 * Where a mounted tree differs from what the rules make of its layers. Of lower files with several names only the names
 * and types are compared: a copy made under another name shows in the index, of which the rules know nothing.
 * @param roots the layers' directories, the top one first
 */
export function differencesFromRules(mounted: Tree, roots: readonly string[], hasUpper: boolean): string[] {
  const view = new Rules(roots.map(describeTree), hasUpper).tree();
  const isIndexed = (path: string): boolean => view.get(path)?.[INDEXED] !== undefined;
  const plain = (tree: Tree): Tree =>
    new Map([...inherited(tree)].map(([path, entry]) => [path, isIndexed(path) ? typeOnly(entry) : entry]));
  return diffTrees(plain(mounted), plain(view));
}

const typeOnly = ({ type }: Entry): Entry => ({ type, mtime: '' });

class Rules {
  readonly #layers: readonly Tree[];
  readonly #hasUpper: boolean;

  constructor(layers: readonly Tree[], hasUpper: boolean) {
    this.#layers = layers;
    this.#hasUpper = hasUpper;
  }

  tree(): Tree {
    const view = new Map<string, Entry>();
    const roots = this.#layers.map((_, layer) => ({ layer, path: ROOT }));
    view.set(ROOT, this.#at({ layer: 0, path: ROOT }) as Entry);
    this.#descend(roots, ROOT, view);
    return view;
  }

  #descend(places: readonly Place[], path: string, view: Map<string, Entry>): void {
    for (const name of this.#names(places)) {
      const candidates = [...this.#candidates(places, name)];
      const shown = merge(candidates.map(({ entry }) => entry));
      if (shown.shows === 'nothing') continue;
      const layers = shown.shows === 'directory' ? shown.layers : [shown.layer];
      const merged = layers.map((index) => candidates[index] as Candidate);
      const here = join(path, name);
      view.set(here, this.#shown(merged[0] as Candidate));
      if (shown.shows === 'directory') this.#descend(merged, here, view);
    }
  }

  #shown(place: Place): Entry {
    const entry = this.#at(place) as Entry;
    const isLower = place.layer > 0 || !this.#hasUpper;
    const { type, nlink } = entry;
    return isLower && type !== 'directory' && nlink !== '1' ? { ...entry, [INDEXED]: 'yes' } : entry;
  }

  /** The names that any of the places holds. */
  #names(places: readonly Place[]): string[] {
    const names = places.flatMap(({ layer, path }) =>
      [...(this.#layers[layer]?.keys() ?? [])]
        .filter((other) => other !== ROOT && parentOf(other) === path)
        .map((other) => other.slice(other.lastIndexOf('/') + 1)),
    );
    return [...new Set(names)].sort();
  }

  /** What lies under a name, followed through redirects. */
  *#candidates(places: readonly Place[], name: string): Generator<Candidate> {
    for (const [index, { layer, path }] of places.entries()) {
      const entry = this.#entry(layer, path, name);
      yield { layer, path: join(path, name), entry };
      const redirect = entry.is === 'directory' ? entry.redirect : undefined;
      if (redirect === undefined) continue;
      if (redirect.startsWith('/')) yield* this.#fromRoots(layer + 1, redirect.slice(1).split('/'));
      else yield* this.#candidates(places.slice(index + 1), redirect);
      return;
    }
  }

  *#fromRoots(first: number, names: readonly string[]): Generator<Candidate> {
    let places: readonly Place[] = this.#layers
      .map((_, layer) => ({ layer, path: ROOT }))
      .filter(({ layer }) => layer >= first);
    for (const name of names.slice(0, -1)) {
      const candidates = [...this.#candidates(places, name)];
      const shown = merge(candidates.map(({ entry }) => entry));
      if (shown.shows !== 'directory') return;
      places = shown.layers.map((index) => candidates[index] as Candidate);
    }
    yield* this.#candidates(places, names.at(-1) ?? '');
  }

  #entry(layer: number, directory: string, name: string): LayerEntry {
    if (name.startsWith(DOT_WHITEOUT)) return ABSENT;
    const found = this.#at({ layer, path: join(directory, name) });
    const hidden = this.#at({ layer, path: join(directory, DOT_WHITEOUT + name) }) !== undefined;
    if (found === undefined) return hidden ? { is: 'whiteout', form: 'dot-wh' } : ABSENT;
    const { type, rdev } = found;
    if (type === 'directory') return this.#directory({ layer, path: join(directory, name) }, hidden);
    if (type === 'character device' && rdev === '0') return { is: 'whiteout', form: 'device' };
    if (this.#isXattrWhiteout(layer, found)) return { is: 'whiteout', form: 'xattr' };
    return { is: type === 'file' || type === 'symlink' ? type : 'special' };
  }

  #directory(place: Place, hidden: boolean): LayerEntry {
    const found = this.#at(place) as Entry;
    const opaque = (form: OpaqueForm): LayerEntry => ({ is: 'directory', opaque: form });
    if (MARKS.some((mark) => found[`xattr ${mark}opaque`]?.startsWith(YES))) return opaque('xattr');
    if (this.#at({ ...place, path: join(place.path, '.wh..wh..opq') })) return opaque('dot-wh-opq');
    if (hidden) return opaque('dot-wh');
    const redirect = found['xattr trusted.overlay.redirect'];
    if (redirect === undefined) return { is: 'directory' };
    return { is: 'directory', redirect: Buffer.from(redirect, 'hex').toString('latin1') };
  }

  #isXattrWhiteout(layer: number, found: Entry): boolean {
    const { type, size } = found;
    const root = this.#at({ layer, path: ROOT });
    const enabled = MARKS.some((mark) => root?.[`xattr ${mark}opaque`]?.startsWith(MARKED));
    const marked = MARKS.some((mark) => found[`xattr ${mark}whiteout`] !== undefined);
    return enabled && marked && type === 'file' && size === '0';
  }

  #at({ layer, path }: Place): Entry | undefined {
    return this.#layers[layer]?.get(path);
  }
}

const join = (directory: string, name: string): string =>
  directory === ROOT ? name : `${directory}/${name}`;

const parentOf = (path: string): string => {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? ROOT : path.slice(0, slash);
};
