/**
 * What upper changes, as `docker diff` tells it: A added, C changed, D deleted.
 *
 * Rule: only upper is walked, so the cost is that of the change. A whiteout over nothing is no change; an opaque
 * directory deletes what the lower one holds and upper's does not.
 */
import { readDirectory } from '../sys/syscalls.js';
import type { LayerDirectory } from './layer.js';
import { find, probe } from './lookup.js';
import { DirectoryNode } from './node.js';
import { listingOf } from './readdir.js';
import type { Union } from './state.js';
import { below } from './view.js';

export interface Change {
  readonly kind: 'A' | 'C' | 'D';
  /** From the root, one character per byte. */
  readonly path: string;
}

/**
 * The changes in path order, a directory before its contents.
 * @param upper a view of the upper layer alone, opened as an upper
 * @param lower a view of the lower layers alone
 */
export function* diff(upper: Union, lower: Union): Generator<Change> {
  if (upper.upper === undefined) throw new Error('a view without upper');
  yield* directory(upper, lower, upper.upper.root, lower.root, false, '');
}

function* directory(
  upper: Union,
  lower: Union,
  here: LayerDirectory,
  under: DirectoryNode | undefined,
  opaque: boolean,
  path: string,
): Generator<Change> {
  const held = new Set(readDirectory(upper.handles.directory(here)).map(({ name }) => name));
  const deleted = opaque && under !== undefined ? [...listingOf(lower, under).names()] : [];
  const names = new Set([...held, ...deleted.map(({ name }) => name)]);
  for (const name of [...names].sort()) {
    const child = `${path}/${name}`;
    if (held.has(name)) yield* entry(upper, lower, here, under, name, child);
    else yield { kind: 'D', path: child };
  }
}

function* entry(
  upper: Union,
  lower: Union,
  here: LayerDirectory,
  under: DirectoryNode | undefined,
  name: string,
  path: string,
): Generator<Change> {
  const { entry: held } = probe(upper, here, name, true);
  const covered = under === undefined ? undefined : find(lower, under, name)?.node;
  if (held.is === 'absent') return;
  if (held.is === 'whiteout') {
    if (covered !== undefined) yield { kind: 'D', path };
    return;
  }
  yield { kind: covered === undefined ? 'A' : 'C', path };
  if (held.is !== 'directory') return;
  const next = covered instanceof DirectoryNode ? covered : undefined;
  yield* directory(upper, lower, below(here, name), next, held.opaque !== undefined, path);
}
