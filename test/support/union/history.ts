/** Random histories of a union: operations of all kinds on few names, some of them hard links, in directories of all layers. */
import { linkSync } from 'node:fs';
import { join } from 'node:path';
import type { NodeId } from '../../../fs/protocol/filesystem.js';
import { ACL, RENAME, S } from '../../../fs/sys/constants.js';
import type { UnionFilesystem } from '../../../fs/union/filesystem.js';
import { UNCHANGED } from '../protocol/bytes.js';
import type { Random } from '../random.js';
import { acl, writeLayers } from './acts.js';
import { CALLER, type Disk, lookup } from './disk.js';
import { type Inode, layerInode } from './model.js';

/** One operation; `null` where the kernel would refuse it before it reaches the union. */
export interface Operation {
  readonly label: string;
  /** The names it is about. */
  readonly paths: readonly string[];
  readonly prepare: (fs: UnionFilesystem) => (() => void) | null;
}

// --- the layers

const file = (id: string): Inode => layerInode('file', id);
const directory = (id: string, children: Record<string, Inode>): Inode =>
  layerInode('directory', id, { children });
const root = (layer: number, children: Record<string, Inode>): Inode => directory(`root@${layer}`, children);

const BOTTOM = (): Inode =>
  root(2, {
    p: directory('p@2', {
      a: file('a@2'),
      d: directory('d@2', { x: file('x@2'), y: file('y@2'), sub: directory('sub@2', { z: file('z@2') }) }),
      s: layerInode('symlink', 's@2'),
    }),
    q: directory('q@2', { e: directory('e@2', { w: file('w@2') }), g: file('g@2') }),
  });

const MIDDLE = (): Inode =>
  root(1, {
    p: directory('p@1', { b: file('b@1'), d: directory('d@1', { x2: file('x2@1') }) }),
    q: directory('q@1', { h: layerInode('special', 'h@1') }),
  });

const UPPER = (): Inode =>
  root(0, {
    p: directory('p@0', { u: file('u@0'), d: directory('d@0', { own: file('own@0') }) }),
    r: directory('r@0', { t: file('t@0') }),
  });

/** Further names of files, by layer. */
const LINKS: Readonly<Record<number, readonly (readonly [string, string])[]>> = {
  0: [],
  1: [
    ['p/b', 'p/b2'],
    ['p/b', 'q/b3'],
  ],
  2: [['p/a', 'q/a2']],
};

export function writeWorld(disk: Disk): void {
  writeLayers(disk, { upper: UPPER(), lowers: [MIDDLE(), BOTTOM()] }, (at, layer) => {
    for (const [from, to] of LINKS[layer] ?? []) linkSync(join(at, from), join(at, to));
  });
}

// --- the operations

const ROOT = 1 as NodeId;
const NAMES = ['a', 'b', 'b2', 'b3', 'a2', 'd', 'e', 'n', 'm', 's', 'u', 'x'];
const DIRECTORIES = ['p', 'p', 'q', 'q', 'r', 'p/d', 'p/d', 'q/e', 'p/d/sub', 'p/n', 'q/d'];
const KNOWN = [
  'p/a',
  'q/a2',
  'p/b',
  'p/b2',
  'q/b3',
  'p/d',
  'p/d/x',
  'p/d/sub',
  'p/d/sub/z',
  'q/e',
  'q/e/w',
  'r',
  'r/t',
  'p/u',
];

const pick = (random: Random): string =>
  random.below(2) === 0 ? random.pick(KNOWN) : `${random.pick(DIRECTORIES)}/${random.pick(NAMES)}`;

interface Found {
  readonly parent: NodeId;
  readonly name: string;
  readonly node: NodeId | undefined;
  readonly type: number;
}

function find(fs: UnionFilesystem, path: string): Found | undefined {
  const names = path.split('/');
  const name = names.pop() ?? '';
  const parent = names.reduce<NodeId | undefined>((at, next) => {
    const entry = at === undefined ? undefined : lookup(fs, at, next);
    return entry !== undefined && (entry.attributes.mode & S.IFMT) === S.IFDIR ? entry.nodeid : undefined;
  }, ROOT);
  if (parent === undefined) return undefined;
  const entry = lookup(fs, parent, name);
  return { parent, name, node: entry?.nodeid, type: (entry?.attributes.mode ?? 0) & S.IFMT };
}

/** What is done to a name; null if the kernel refuses. */
type OnName = (fs: UnionFilesystem, at: Found) => (() => void) | null;

const making =
  (make: (fs: UnionFilesystem, at: Found) => void): OnName =>
  (fs, at) =>
    at.node === undefined ? () => make(fs, at) : null;

const changing =
  (types: readonly number[], change: (fs: UnionFilesystem, node: NodeId, at: Found) => void): OnName =>
  (fs, at) => {
    const { node, type } = at;
    return node !== undefined && types.includes(type) ? () => change(fs, node, at) : null;
  };

const DATA = [S.IFREG];
const NO_LINKS = [S.IFREG, S.IFDIR];
const LEAVES = [S.IFREG, S.IFLNK, S.IFIFO];
const ON_NAME: Readonly<Record<string, OnName>> = {
  create: making((fs, { parent, name }) => {
    fs.create(CALLER, parent, name, { kind: 'node', mode: S.IFREG | 0o640, major: 0, minor: 0, umask: 0 });
  }),
  mkdir: making((fs, { parent, name }) => {
    fs.create(CALLER, parent, name, { kind: 'directory', mode: S.IFDIR | 0o750, umask: 0 });
  }),
  symlink: making((fs, { parent, name }) => {
    fs.create(CALLER, parent, name, { kind: 'symlink', target: 'anywhere' });
  }),
  unlink: changing(LEAVES, (fs, _, { parent, name }) => fs.unlink(parent, name)),
  rmdir: changing([S.IFDIR], (fs, _, { parent, name }) => fs.rmdir(parent, name)),
  write: changing(DATA, (fs, node) => void fs.write(CALLER, node, 2, Buffer.from('written'), false)),
  truncate: changing(DATA, (fs, node) => void fs.setattr(CALLER, node, { ...UNCHANGED, size: 3 })),
  chmod: changing(NO_LINKS, (fs, node) => void fs.setattr(CALLER, node, { ...UNCHANGED, mode: 0o705 })),
  setxattr: changing(NO_LINKS, (fs, node) =>
    fs.setxattr(node, 'user.note', Buffer.from('changed'), 0, false),
  ),
  'set an ACL': changing(NO_LINKS, (fs, node) => fs.setxattr(node, ACL.ACCESS, acl(6), 0, false)),
};

const onTwo =
  (use: (fs: UnionFilesystem, from: Found, to: Found) => (() => void) | null) =>
  (fs: UnionFilesystem, from: string, to: string): (() => void) | null => {
    const [one, other] = [find(fs, from), find(fs, to)];
    return one?.node === undefined || other === undefined ? null : use(fs, one, other);
  };

const renaming = (flags: number) =>
  onTwo((fs, from, to) => {
    if (from.node === to.node || (flags === RENAME.EXCHANGE && to.node === undefined)) return null;
    if (flags === RENAME.NOREPLACE && to.node !== undefined) return null;
    return () => fs.rename(from.parent, from.name, to.parent, to.name, flags);
  });

const ON_TWO: Readonly<Record<string, ReturnType<typeof onTwo>>> = {
  rename: renaming(0),
  'rename without replacing': renaming(RENAME.NOREPLACE),
  exchange: renaming(RENAME.EXCHANGE),
  link: onTwo((fs, from, to) =>
    to.node !== undefined || from.type === S.IFDIR
      ? null
      : () => void fs.link(from.node as NodeId, to.parent, to.name),
  ),
};

const isBelow = (inner: string, outer: string): boolean => `${inner}/`.startsWith(`${outer}/`);

export function draw(random: Random): Operation {
  const [path, other] = [pick(random), pick(random)];
  if (random.below(2) === 0) {
    const [label, act] = random.pick(Object.entries(ON_NAME));
    const prepare = (fs: UnionFilesystem) => {
      const found = find(fs, path);
      return found === undefined ? null : act(fs, found);
    };
    return { label: `${label} ${path}`, paths: [path], prepare };
  }
  const [label, act] = random.pick(Object.entries(ON_TWO));
  const fits = !isBelow(path, other) && !isBelow(other, path);
  const prepare = (fs: UnionFilesystem) => (fits ? act(fs, path, other) : null);
  return { label: `${label} ${path} ${other}`, paths: [path, other], prepare };
}
