/**
 * The model's layers as directories on disk, and a union of them without a mount.
 *
 * Rule: the union is asked as the kernel asks it, through the `Filesystem` interface, and what it shows is written
 * down as lines that can be compared with those of a view of the model.
 */
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Caller, Entry, NodeId } from '../../../fs/protocol/filesystem.js';
import { AT, S } from '../../../fs/sys/constants.js';
import { E } from '../../../fs/sys/errno.js';
import type { U64 } from '../../../fs/sys/stat.js';
import { mknodat, setxattrat } from '../../../fs/sys/syscalls.js';
import { UnionFilesystem } from '../../../fs/union/filesystem.js';
import { type Layer, openLowers, openWritable, upperLayer } from '../../../fs/union/layers/layer.js';
import { Work } from '../../../fs/union/layers/work.js';
import { LinkIndex } from '../../../fs/union/nodes/link-index.js';
import type { Pruning } from '../../../fs/union/nodes/population.js';
import { Union, type UnionParts, type UnionSettings } from '../../../fs/union/nodes/union.js';
import { findOverrides, keepOverrides } from '../../../fs/union/owners/stored-owners.js';
import { IS_HOST_ROOT, MARK } from '../privilege.js';
import { refusing } from './faults.js';
import type { Inode, Seen } from './model.js';

/**
 * What stands for the model's "user.changed", which devices and symlinks cannot carry. Root of a user namespace sets
 * `security.` attributes on the filesystems that he has mounted.
 */
export const CHANGED = IS_HOST_ROOT ? 'trusted.changed' : 'security.changed';
export const CALLER: Caller = { uid: 0, gid: 0, pid: 1 };
const ROOT = 1 as NodeId;
/** Memory, where there is such a filesystem: thousands of small files. */
const FAST = '/dev/shm';

// --- writing layers --------------------------------------------------------------------------------------------

function mark(directory: string, attribute: string, value: string): void {
  const fd = openSync(directory, 'r');
  setxattrat(fd, '', MARK + attribute, Buffer.from(value));
  closeSync(fd);
}

function markFile(directory: string, name: string, attribute: string): void {
  const fd = openSync(directory, 'r');
  setxattrat(fd, name, MARK + attribute, Buffer.from('y'));
  closeSync(fd);
}

/** Writes what the model says of a directory's entries. */
function fill(directory: string, children: Readonly<Record<string, Inode>>): void {
  for (const [name, node] of Object.entries(children)) {
    const path = join(directory, name);
    if (node.kind === 'directory') writeDirectory(path, node);
    else if (node.kind === 'symlink') symlinkSync(node.data, path);
    else if (node.kind === 'file') writeFileSync(path, node.data);
    else mknodat(AT.FDCWD, path, node.kind === 'special' ? S.IFIFO : S.IFCHR, 0, 0);
    if (node.kind === 'file' || node.kind === 'special') chmodSync(path, node.mode);
    if (node.whiteoutXattr) markFile(directory, name, 'whiteout');
  }
}

function writeDirectory(path: string, node: Inode): void {
  mkdirSync(path);
  fill(path, node.children);
  chmodSync(path, node.mode);
  if (node.opaque) mark(path, 'opaque', 'y');
  if (node.redirect !== undefined) mark(path, 'redirect', node.redirect);
  // Whoever moves a merged directory into another one leaves this mark there.
  if (Object.values(node.children).some(({ redirect }) => redirect !== undefined)) mark(path, 'impure', 'y');
}

/** Layers on disk; the root says that empty files may be whiteouts. */
/** What connects a union to others than its layers. */
export type Connections = Pick<UnionParts, 'kernel' | 'inotify' | 'virtualOwners'>;

/** No node is ever asked for. */
export const NO_PRUNING: Pruning = { isIdle: () => false, ask: () => {} };

export class Disk {
  readonly #root = mkdtempSync(join(existsSync(FAST) ? FAST : tmpdir(), 'unionfs-union-'));
  readonly #settings: UnionSettings;
  /** The union changes that of its thread, which here is the tests'. */
  readonly #umask = process.umask();
  /** How often the union has been opened. */
  openings = 0;
  #lowers: string[] = [];
  #union: Union | undefined;
  #filesystem: UnionFilesystem | undefined;

  readonly #whiteoutsAreFiles: boolean;

  /** @param others settings that are not a test's usual ones; `whiteoutsAreFiles` stands for a filesystem that refuses devices */
  constructor(
    layerChanges: UnionSettings['layerChanges'],
    { whiteoutsAreFiles = false, ...others }: Partial<UnionSettings> & { whiteoutsAreFiles?: boolean } = {},
  ) {
    this.#settings = { volatile: true, descriptors: 512, layerChanges, ...others };
    this.#whiteoutsAreFiles = whiteoutsAreFiles;
  }

  /** The path of something in "upper", "lower1" ... or "work". */
  path(...names: readonly string[]): string {
    return join(this.#root, ...names);
  }

  /** @param layers the top one first */
  write(upper: Inode, lowers: readonly Inode[]): void {
    const layers = [upper, ...lowers].map((layer, index) => {
      const path = join(this.#root, index === 0 ? 'upper' : `lower${index}`);
      writeDirectory(path, layer);
      mark(path, 'opaque', 'x');
      return path;
    });
    this.#lowers = layers.slice(1);
  }

  /** The union as a new mount has it. @param parts what connects it to a kernel, and to who gives owners */
  open(parts: Connections = {}): UnionFilesystem {
    this.close();
    this.openings++;
    this.#union = this.#build(parts);
    this.#filesystem = new UnionFilesystem(this.#union, () => undefined);
    return this.#filesystem;
  }

  /** What another mount would have, while the union that was opened last stays as it is. */
  peek<T>(look: (fs: UnionFilesystem) => T): T {
    const union = this.#build();
    try {
      return look(new UnionFilesystem(union, () => undefined));
    } finally {
      union.close();
    }
  }

  #build(parts: Connections = {}): Union {
    const workPath = join(this.#root, 'work');
    mkdirSync(workPath, { recursive: true });
    const upper = join(this.#root, 'upper');
    const { upperFd, workFd, told } = openWritable(upper, workPath);
    const layers = [upperLayer(upper, { upperFd, workFd, told }), ...openLowers(this.#lowers, 1)];
    closeSync(upperFd);
    findOverrides(layers, this.#settings.ownership !== undefined);
    keepOverrides(layers[0] as Layer, layers.slice(1), this.#settings.ownership?.keep);
    const probe = (): Work => new Work(workFd);
    const work = this.#whiteoutsAreFiles ? refusing('mknodat', E.EPERM, probe) : probe();
    const index = LinkIndex.open(workFd, layers, work);
    closeSync(workFd);
    return new Union({ ...parts, layers, work, index, settings: this.#settings });
  }

  /** The layers' directories, the top one first. */
  get layers(): readonly string[] {
    return [join(this.#root, 'upper'), ...this.#lowers];
  }

  /** What the filesystem that was opened last is made of. */
  get union(): Union {
    if (this.#union === undefined) throw new Error('not open');
    return this.#union;
  }

  /** The union as it was opened last. */
  get filesystem(): UnionFilesystem {
    if (this.#filesystem === undefined) throw new Error('not open');
    return this.#filesystem;
  }

  /** What operations have left among the temporary files. */
  leftovers(): string[] {
    return readdirSync(join(this.#root, 'work', 'work'));
  }

  close(): void {
    this.#union?.close();
    this.#union = undefined;
  }

  remove(): void {
    try {
      this.close();
    } finally {
      process.umask(this.#umask);
      rmSync(this.#root, { recursive: true });
    }
  }
}

// --- reading the union -----------------------------------------------------------------------------------------

const KINDS = new Map<number, Seen['kind']>([
  [S.IFREG, 'file'],
  [S.IFLNK, 'symlink'],
  [S.IFDIR, 'directory'],
]);

export function lookup(fs: UnionFilesystem, parent: NodeId, name: string): Entry | undefined {
  const result = fs.lookup(CALLER, parent, name);
  return 'absentFor' in result ? undefined : result;
}

/** The node of a path; its directories' lookups stay counted, as the kernel's dentries hold them. */
export function nodeAt(fs: UnionFilesystem, path: readonly string[]): NodeId | undefined {
  return path.reduce<NodeId | undefined>(
    (at, name) => (at === undefined ? undefined : lookup(fs, at, name)?.nodeid),
    ROOT,
  );
}

/** One name as a line: what it is, what it holds. */
const line = (path: string, kind: string, mode: number, data: string, changed: boolean): string =>
  `${path} ${kind} ${kind === 'symlink' ? '' : mode.toString(8)} ${kind === 'special' ? '' : data}${changed ? ' changed' : ''}`;

/** A view of the model as lines by path. */
export function linesOf(seen: Seen, path = '', lines = new Map<string, string>()): Map<string, string> {
  for (const [name, child] of Object.entries(seen.children)) {
    const at = `${path}/${name}`;
    const changed = child.xattrs.includes('user.changed');
    lines.set(at, line(at, child.kind, child.mode, child.data, changed));
    linesOf(child, at, lines);
  }
  return lines;
}

/** The model's inode numbers by path. */
export function inodesOf(seen: Seen, path = '', inodes = new Map<string, string>()): Map<string, string> {
  for (const [name, child] of Object.entries(seen.children)) {
    inodes.set(`${path}/${name}`, child.ino);
    inodesOf(child, `${path}/${name}`, inodes);
  }
  return inodes;
}

export interface Told {
  readonly lines: Map<string, string>;
  /** st_ino by path. */
  readonly inodes: Map<string, U64>;
  /** Where READDIR and LOOKUP disagree. */
  readonly contradictions: string[];
}

function content(fs: UnionFilesystem, { nodeid, attributes }: Entry, kind: string): string {
  if (kind === 'symlink') return fs.readlink(nodeid);
  if (kind !== 'file') return '';
  const room = Buffer.alloc(Number(attributes.size));
  return room.toString('latin1', 0, fs.read(nodeid, 0, room));
}

/** Everything the union shows. */
export function tell(fs: UnionFilesystem): Told {
  const told: Told = { lines: new Map(), inodes: new Map(), contradictions: [] };
  tellDirectory(fs, ROOT, '', told);
  return told;
}

function tellDirectory(fs: UnionFilesystem, node: NodeId, path: string, told: Told): void {
  const listed: { name: string; ino: U64; type: number }[] = [];
  fs.readdir(node, 2, {
    add: (name, ino, type) => {
      listed.push({ name, ino, type });
      return true;
    },
  });
  for (const { name, ino, type } of listed) {
    const at = `${path}/${name}`;
    const entry = lookup(fs, node, name);
    if (entry === undefined || entry.attributes.ino !== ino || (entry.attributes.mode & S.IFMT) !== type) {
      told.contradictions.push(`${at}: listed as ${ino}, found as ${entry?.attributes.ino}`);
    }
    if (entry !== undefined) tellEntry(fs, entry, at, told);
  }
}

function tellEntry(fs: UnionFilesystem, entry: Entry, path: string, told: Told): void {
  const { mode, ino } = entry.attributes;
  const kind = KINDS.get(mode & S.IFMT) ?? 'special';
  const changed = fs.getxattr(entry.nodeid, CHANGED) !== undefined;
  told.lines.set(path, line(path, kind, mode & ~S.IFMT, content(fs, entry, kind), changed));
  told.inodes.set(path, ino);
  if (kind === 'directory') tellDirectory(fs, entry.nodeid, path, told);
}
