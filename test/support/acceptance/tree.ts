/**
 * A directory tree as data: everything a user can see of it, in a form that can be compared and digested.
 *
 * Compared: names, types, modes, owners, sizes, mtimes to the nanosecond, link counts, device numbers,
 * symlink targets, contents, every extended attribute, and which names are one file.
 * Not compared, as it is nobody's promise: the size and link count of directories, block counts, atimes,
 * ctimes and the inode numbers themselves.
 *
 * The union's own attributes (trusted.overlay.*) are not left out: in a layer they are part of what must
 * not change, and on a mount nobody may see them.
 */
import { createHash } from 'node:crypto';
import {
  type BigIntStats,
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
} from 'node:fs';
import { run } from '../run.js';

/** Field names to values. Extended attributes have one field each, `xattr NAME`. */
export interface Entry extends Readonly<Record<string, string>> {
  readonly type: string;
  /** In nanoseconds. */
  readonly mtime: string;
}

/** Paths relative to the root (`.`), each byte one character, to what is there. In walking order. */
export type Tree = ReadonlyMap<string, Entry>;

const TYPE_MASK = 0o170000n;
const TYPES = new Map([
  [0o140000n, 'socket'],
  [0o120000n, 'symlink'],
  [0o100000n, 'file'],
  [0o060000n, 'block device'],
  [0o040000n, 'directory'],
  [0o020000n, 'character device'],
  [0o010000n, 'fifo'],
]);
const PERMISSION_MASK = 0o7777n;
const OCTAL = 8;
const READ_SIZE = 1024 * 1024;
const SAME_TIME = 'during the run';

/** Lists the tree under `root`. */
export function describeTree(root: string): Tree {
  const attributes = readAttributes(root);
  const firstNames = new Map<string, string>();
  const tree = new Map<string, Entry>();
  for (const path of walk(root)) {
    tree.set(path, { ...describeEntry(root, path, firstNames), ...attributes.get(path) });
  }
  return tree;
}

/** One number for a whole tree: equal exactly if the listings are equal. */
export function checksum(tree: Tree): string {
  return createHash('sha256')
    .update(JSON.stringify([...tree]))
    .digest('hex');
}

/** Every difference between two trees, a line each; none if they are the same. */
export function diffTrees(a: Tree, b: Tree): string[] {
  const paths = [...new Set([...a.keys(), ...b.keys()])].sort();
  return paths.flatMap((path) => diffEntries(JSON.stringify(path), a.get(path), b.get(path)));
}

/** The tree with all mtimes from `start` (ns) on made equal, to compare two runs of one script. */
export function maskTimesSince(tree: Tree, start: bigint): Tree {
  const mask = (entry: Entry): Entry =>
    BigInt(entry.mtime) < start ? entry : { ...entry, mtime: SAME_TIME };
  return new Map([...tree].map(([path, entry]) => [path, mask(entry)]));
}

function diffEntries(name: string, a: Entry | undefined, b: Entry | undefined): string[] {
  if (!a) return [`${name}: only in the second tree (${b?.type})`];
  if (!b) return [`${name}: only in the first tree (${a.type})`];
  const fields = [...new Set([...Object.keys(a), ...Object.keys(b)])].sort();
  const different = fields.filter((field) => a[field] !== b[field]);
  return different.map((field) => `${name}: ${field}: ${a[field] ?? 'none'} != ${b[field] ?? 'none'}`);
}

function* walk(root: string, path = '.'): Generator<string> {
  yield path;
  const entries = readdirSync(bytes(root, path), { withFileTypes: true, encoding: 'buffer' });
  const children = entries.map((entry) => ({
    path: join(path, entry.name.toString('latin1')),
    isDirectory: entry.isDirectory(),
  }));
  children.sort((a, b) => (a.path < b.path ? -1 : 1));
  for (const child of children) {
    if (child.isDirectory) yield* walk(root, child.path);
    else yield child.path;
  }
}

function describeEntry(root: string, path: string, firstNames: Map<string, string>): Entry {
  const file = bytes(root, path);
  const stats = lstatSync(file, { bigint: true });
  const type = TYPES.get(stats.mode & TYPE_MASK) ?? 'unknown';
  const common = {
    type,
    mode: (stats.mode & PERMISSION_MASK).toString(OCTAL),
    uid: String(stats.uid),
    gid: String(stats.gid),
    mtime: String(stats.mtimeNs),
  };
  if (type === 'directory') return common;
  return {
    ...common,
    size: String(stats.size),
    nlink: String(stats.nlink),
    'same file as': firstName(stats, path, firstNames),
    ...(type.endsWith('device') && { rdev: String(stats.rdev) }),
    ...(type === 'symlink' && { target: readlinkSync(file, 'buffer').toString('latin1') }),
    ...(type === 'file' && { sha256: digest(file) }),
  };
}

/** The first name met for the inode: two trees agree on it if they agree on which names are one file. */
function firstName(stats: BigIntStats, path: string, firstNames: Map<string, string>): string {
  const inode = `${stats.dev}:${stats.ino}`;
  const first = firstNames.get(inode) ?? path;
  firstNames.set(inode, first);
  return first;
}

const readBuffer = Buffer.allocUnsafe(READ_SIZE);

function digest(file: Buffer): string {
  const hash = createHash('sha256');
  const fd = openSync(file, 'r');
  try {
    for (let length = -1; length !== 0; ) {
      length = readSync(fd, readBuffer, 0, READ_SIZE, null);
      hash.update(readBuffer.subarray(0, length));
    }
  } finally {
    closeSync(fd);
  }
  return hash.digest('hex');
}

/** All extended attributes of a tree, by path: Node cannot read them, getfattr lists a tree at once. */
function readAttributes(root: string): Map<string, Record<string, string>> {
  const output = run('getfattr', ['-R', '-P', '-h', '-d', '-m', '-', '-e', 'hex', '.'], { cwd: root });
  const found = new Map<string, Record<string, string>>();
  for (const block of output.split('\n\n').filter((text) => text !== '')) {
    const [header = '', ...lines] = block.split('\n');
    found.set(unquote(header.replace('# file: ', '')), Object.fromEntries(lines.map(attributeField)));
  }
  return found;
}

function attributeField(line: string): [string, string] {
  const [name = '', value = ''] = line.split('=0x');
  return [`xattr ${unquote(name)}`, value];
}

/** Undoes getfattr's quoting: backslash, newline and carriage return are written as three octal digits. */
function unquote(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, OCTAL)),
  );
}

function join(directory: string, name: string): string {
  return directory === '.' ? name : `${directory}/${name}`;
}

function bytes(root: string, path: string): Buffer {
  return Buffer.concat([Buffer.from(`${root}/`), Buffer.from(path, 'latin1')]);
}
