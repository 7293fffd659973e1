/**
 * A model of layers to judge `rules/plan.ts` by. It shares no code with it.
 *
 * Rules: an inode is a plain object and a layer a small tree of them. `flatten` is the oracle: it applies the layers
 * from the bottom up, as one unpacks an image, where `merge` looks from the top down. Lower layers are frozen, so a
 * step that changed one would throw. What the mount never shows (marks, whiteouts, work) is no part of a view.
 */
export type InodeKind = 'file' | 'symlink' | 'special' | 'directory' | 'whiteout';

export interface Inode {
  id: string;
  kind: InodeKind;
  /** A file's content, a symlink's target, a device's number. */
  data: string;
  owner: string;
  mode: number;
  xattrs: readonly string[];
  times: string;
  /** Whether the data survives a power cut. */
  synced: boolean;
  children: Record<string, Inode>;
  /** The union's own marks. */
  opaque?: true;
  redirect?: string;
  whiteoutXattr?: true;
  origin?: string;
}

export const SET_ID = 0o6000;
export const CAPABILITY = 'security.capability';

/** A new inode as its maker leaves it. */
export function inode(kind: InodeKind, id: string, more: Partial<Inode> = {}): Inode {
  const plain = {
    data: '',
    owner: 'caller',
    mode: 0o644,
    xattrs: [],
    times: 'now',
    synced: true,
    children: {},
  };
  return { id, kind, ...plain, ...more };
}

/** An inode that differs from those of other layers in everything that copy-up must keep. */
export function layerInode(kind: InodeKind, id: string, more: Partial<Inode> = {}): Inode {
  return inode(kind, id, {
    data: kind === 'directory' ? '' : `data of ${id}`,
    owner: `owner of ${id}`,
    mode: 0o4711,
    xattrs: [`user.x=${id}`, CAPABILITY],
    times: `times of ${id}`,
    ...more,
  });
}

export function freeze(node: Inode): Inode {
  for (const child of Object.values(node.children)) freeze(child);
  Object.freeze(node.children);
  return Object.freeze(node);
}

export function must<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`no ${what}`);
  return value;
}

// --- the view --------------------------------------------------------------------------------------------------

/** What a user sees of one name, and below it. */
export interface Seen {
  readonly kind: Exclude<InodeKind, 'whiteout'>;
  /** st_ino: that of the origin, or of the topmost lower directory, so that it stays over copy-up. */
  readonly ino: string;
  readonly data: string;
  readonly owner: string;
  readonly mode: number;
  readonly xattrs: readonly string[];
  readonly times: string;
  /** The inodes of the layers' directories that are merged here, the top one first. */
  readonly from: readonly string[];
  readonly children: Readonly<Record<string, Seen>>;
}

const DOT = '.wh.';
const DOT_OPAQUE = '.wh..wh..opq';

interface Reading {
  /** What the layers below the one that is applied show at the root, for redirects. */
  readonly root: Seen | undefined;
  /** Whether `.wh.` names are looked for: in lower layers; upper's are rewritten before. */
  readonly dots: boolean;
}

function leaf(node: Inode): Seen {
  if (node.kind === 'whiteout') throw new Error('a whiteout is never seen');
  const { kind, id, origin, data, owner, mode, xattrs, times, synced } = node;
  const kept = synced ? data : 'lost in a power cut';
  return { kind, ino: origin ?? id, data: kept, owner, mode, xattrs, times, from: [id], children: {} };
}

export function descend(root: Seen | undefined, path: readonly string[]): Seen | undefined {
  return path.reduce<Seen | undefined>((at, name) => at?.children[name], root);
}

const directoryOnly = (seen: Seen | undefined): Seen | undefined =>
  seen?.kind === 'directory' ? seen : undefined;

/** What lies under the directory `name` of `layer`, by its marks and what is beside it. */
function baseOf(layer: Inode, name: string, child: Inode, base: Seen | undefined, reading: Reading) {
  if (child.opaque || (reading.dots && DOT + name in layer.children)) return undefined;
  const { redirect = name } = child;
  const found = redirect.startsWith('/')
    ? descend(reading.root, redirect.slice(1).split('/'))
    : base?.children[redirect];
  return directoryOnly(found);
}

/** Applies one layer's directory onto what the layers below it show. */
function applyLayer(layer: Inode, below: Seen | undefined, reading: Reading): Seen {
  const isDot = (name: string): boolean => reading.dots && name.startsWith(DOT);
  const base = reading.dots && DOT_OPAQUE in layer.children ? undefined : below;
  const children: Record<string, Seen> = { ...base?.children };
  for (const name of Object.keys(layer.children)) if (isDot(name)) delete children[name.slice(DOT.length)];
  for (const [name, child] of Object.entries(layer.children)) {
    if (isDot(name)) continue;
    if (child.kind === 'whiteout' || child.whiteoutXattr) delete children[name];
    else if (child.kind !== 'directory') children[name] = leaf(child);
    else children[name] = applyLayer(child, baseOf(layer, name, child, base, reading), reading);
  }
  const ino = reading.dots ? layer.id : (base?.ino ?? layer.id);
  return { ...leaf(layer), ino, from: [layer.id, ...(base?.from ?? [])], children };
}

/** What lower layers show, given the bottom one first. */
export function flatten(lowers: readonly Inode[]): Seen | undefined {
  return lowers.reduce<Seen | undefined>(
    (base, layer) => applyLayer(layer, base, { root: base, dots: true }),
    undefined,
  );
}

/** What the union shows with `upper` on top. */
export function flattenUpper(upper: Inode, lowers: Seen | undefined): Seen {
  return applyLayer(upper, lowers, { root: lowers, dots: false });
}

/**
 * A view as text. `crashed`: without what a crash may leave as it is, the numbers of directories, and the times of
 * the given ones, whose names change.
 */
export function print(seen: Seen, crashed?: readonly string[], path = ''): string {
  const { kind, data, owner, mode, xattrs } = seen;
  const ino = kind === 'directory' && crashed !== undefined ? '' : seen.ino;
  const times = kind === 'directory' && crashed?.includes(path) ? '' : seen.times;
  const names = Object.keys(seen.children).sort();
  const below = names.map((name) => print(must(seen.children[name], name), crashed, `${path}/${name}`));
  return [`${path} ${[kind, ino, data, owner, mode, xattrs, times].join('|')}`, ...below].join('\n');
}

/** The view with something else, or nothing, at a path. */
export function replaceIn(seen: Seen, [name, ...rest]: readonly string[], by: Seen | undefined): Seen {
  if (name === undefined) throw new Error('an empty path');
  const children = { ...seen.children };
  const child = rest.length === 0 ? by : replaceIn(must(children[name], name), rest, by);
  if (child === undefined) delete children[name];
  else children[name] = child;
  return { ...seen, children };
}

/** The view with the times of a directory set to now, as when a name in it comes or goes. */
export function touchIn(seen: Seen, path: readonly string[]): Seen {
  if (path.length === 0) return { ...seen, times: 'now' };
  return replaceIn(seen, path, { ...must(descend(seen, path), path.join('/')), times: 'now' });
}
