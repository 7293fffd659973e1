/**
 * What upper changes, as `docker diff` tells it: A added, C changed, D deleted.
 *
 * Rule: only upper is walked, so the cost is that of the change. A whiteout over nothing is no change. An opaque
 * directory, and one that was moved here by a redirect, replaces all that the lower layers hold under its name.
 */
import { readDirectory } from '../sys/syscalls.js';
import { find, probe } from './lookup.js';
import { DirectoryNode } from './node.js';
import { listingOf } from './readdir.js';
import type { LayerEntry } from './rules.js';
import type { Union } from './state.js';

export interface Change {
  readonly kind: 'A' | 'C' | 'D';
  /** From the root, one character per byte. */
  readonly path: string;
}

/**
 * The changes in path order, a directory before its contents.
 * @param merged a view of all layers
 * @param lower a view of the lower layers alone, if there are any
 */
export function* diff(merged: Union, lower: Union | undefined): Generator<Change> {
  yield* new Diff(merged, lower).changed(merged.root, lower?.root, '');
}

const child = (union: Union | undefined, parent: DirectoryNode | undefined, name: string) =>
  union === undefined || parent === undefined ? undefined : find(union, parent, name)?.node;

const asDirectory = (node: unknown): DirectoryNode | undefined =>
  node instanceof DirectoryNode ? node : undefined;

/** Whether nothing of what the lower layers hold under this name shows through. */
const replaces = (entry: LayerEntry): boolean =>
  entry.is === 'directory' && (entry.opaque !== undefined || entry.redirect !== undefined);

class Diff {
  readonly #merged: Union;
  readonly #lower: Union | undefined;

  constructor(merged: Union, lower: Union | undefined) {
    this.#merged = merged;
    this.#lower = lower;
  }

  /** A directory that merges with what is `under` it: what upper's directory holds has changed. */
  *changed(here: DirectoryNode, under: DirectoryNode | undefined, path: string): Generator<Change> {
    if (here.upper === undefined) return;
    const names = readDirectory(this.#merged.handles.directory(here.upper)).map(({ name }) => name);
    for (const name of names.sort()) {
      const { entry } = probe(this.#merged, here.upper, name, true);
      yield* this.#entry(entry, here, under, name, `${path}/${name}`);
    }
  }

  *#entry(
    entry: LayerEntry,
    here: DirectoryNode,
    under: DirectoryNode | undefined,
    name: string,
    path: string,
  ): Generator<Change> {
    const covered = child(this.#lower, under, name);
    if (entry.is === 'whiteout') {
      if (covered !== undefined) yield { kind: 'D', path };
      return;
    }
    yield { kind: covered === undefined ? 'A' : 'C', path };
    const directory = asDirectory(child(this.#merged, here, name));
    if (directory === undefined) return;
    if (replaces(entry)) yield* this.#replaced(directory, asDirectory(covered), path);
    else yield* this.changed(directory, asDirectory(covered), path);
  }

  /** A directory that shows nothing of what is `under` it: everything counts. */
  *#replaced(here: DirectoryNode, under: DirectoryNode | undefined, path: string): Generator<Change> {
    const held = namesOf(this.#merged, here);
    const gone = namesOf(this.#lower, under);
    for (const name of [...new Set([...held, ...gone])].sort()) {
      const where = `${path}/${name}`;
      if (!held.has(name)) {
        yield { kind: 'D', path: where };
        continue;
      }
      yield { kind: gone.has(name) ? 'C' : 'A', path: where };
      const directory = asDirectory(child(this.#merged, here, name));
      if (directory === undefined) continue;
      yield* this.#replaced(directory, asDirectory(child(this.#lower, under, name)), where);
    }
  }
}

function namesOf(union: Union | undefined, directory: DirectoryNode | undefined): Set<string> {
  if (union === undefined || directory === undefined) return new Set();
  return new Set([...listingOf(union, directory).names()].map(({ name }) => name));
}
