/**
 * Protects what `diff` and `commit` tell: whatever was done to a tree, in a union or in a plain copy, exactly the names are
 * told that differ from those of the layers it was made upon, each with its kind, a directory before its contents.
 * The oracle compares everything that both trees show.
 */
import {
  chmodSync,
  closeSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { assert } from 'chai';
import type { NodeId } from '../../fs/protocol/filesystem.js';
import { S } from '../../fs/sys/constants.js';
import { Errno } from '../../fs/sys/errno.js';
import type { Time } from '../../fs/sys/stat.js';
import { fstat, setxattrat } from '../../fs/sys/syscalls.js';
import { UnionFilesystem } from '../../fs/union/filesystem.js';
import { type ChangedStack, changes } from '../../fs/union/offline/difference.js';
import { flatten } from '../../fs/union/offline/flatten.js';
import { type ViewedStack, viewOf } from '../../fs/union/offline/view.js';
import { missingForFiles, requireConditions } from '../support/acceptance/conditions.js';
import { IS_HOST_ROOT } from '../support/privilege.js';
import { UNCHANGED } from '../support/protocol/bytes.js';
import { Random } from '../support/random.js';
import { CALLER, Disk, lookup, nodeAt } from '../support/union/disk.js';
import { inode } from '../support/union/model.js';

const SUITE = 'union/difference';
const SEED = 61;
const HISTORIES = 40;
const STEPS = 8;
const ROOT = 1 as NodeId;
const OLD = 1_000_000_000;

// --- the oracle

interface Seen {
  readonly isDirectory: boolean;
  readonly signature: string;
}

const ofTime = ({ seconds, nanoseconds }: Time): string => `${seconds}.${nanoseconds}`;

/** Everything that a stack shows, by path. */
function treeOf(stack: ViewedStack): Map<string, Seen> {
  const union = viewOf(stack);
  const seen = new Map<string, Seen>();
  try {
    const fs = new UnionFilesystem(union, () => undefined);
    look(fs, ROOT, '', seen);
  } finally {
    union.close();
  }
  return seen;
}

function look(fs: UnionFilesystem, directory: NodeId, path: string, seen: Map<string, Seen>): void {
  const names: string[] = [];
  fs.readdir(directory, 2, { add: (name) => names.push(name) > 0 });
  for (const name of names.sort()) {
    const { nodeid, attributes } = lookup(fs, directory, name) ?? assert.fail(`no ${path}/${name}`);
    const { mode, uid, gid, mtime, size, rdevMajor, rdevMinor } = attributes;
    const type = mode & S.IFMT;
    const room = Buffer.alloc(type === S.IFREG ? Number(size) : 0);
    const data = type === S.IFREG ? room.toString('hex', 0, fs.read(nodeid, 0, room)) : '';
    const target = type === S.IFLNK ? fs.readlink(nodeid) : '';
    const xattrs = fs.listxattr(CALLER, nodeid).sort();
    const values = xattrs.map((attribute) =>
      Buffer.from(fs.getxattr(nodeid, attribute) ?? []).toString('hex'),
    );
    const isDirectory = type === S.IFDIR;
    const signature = JSON.stringify([
      mode,
      uid,
      gid,
      ofTime(mtime),
      rdevMajor,
      rdevMinor,
      data,
      target,
      xattrs,
      values,
    ]);
    seen.set(`${path}/${name}`, { isDirectory, signature });
    if (isDirectory) look(fs, nodeid, `${path}/${name}`, seen);
  }
}

/** What has to be told, by path. */
function expected(before: Map<string, Seen>, after: Map<string, Seen>): Map<string, string> {
  const kinds = new Map<string, string>();
  for (const [path, { signature }] of after) {
    const was = before.get(path);
    if (was === undefined) kinds.set(path, 'A');
    else if (was.signature !== signature) kinds.set(path, 'C');
  }
  for (const path of before.keys()) {
    const holder = dirname(path);
    if (!after.has(path) && (holder === '/' || after.get(holder)?.isDirectory === true)) kinds.set(path, 'D');
  }
  for (const path of [...kinds.keys()]) {
    for (let above = dirname(path); above !== '/'; above = dirname(above))
      if (!kinds.has(above)) kinds.set(above, 'C');
  }
  return kinds;
}

function check(
  stack: ChangedStack,
  before: Map<string, Seen>,
  after: Map<string, Seen>,
  label: string,
): number {
  const told = [...changes(stack)];
  const kinds = new Map(told.map(({ kind, path }) => [path, kind as string]));
  assert.lengthOf(told, kinds.size, `${label}: told twice`);
  assert.deepEqual([...kinds].sort(), [...expected(before, after)].sort(), label);
  const components = told.map(({ path }) => path.split('/'));
  const inOrder = [...components].sort((a, b) => {
    const at = a.findIndex((name, index) => name !== b[index]);
    if (at < 0) return a.length - b.length;
    const [left, right] = [a[at] as string, b[at]];
    return right === undefined || left > right ? 1 : -1;
  });
  assert.deepEqual(components, inOrder, `${label}: order`);
  return told.length;
}

// --- what is done

/** Changes a tree: a union, or a plain directory. */
interface Hand {
  write(path: string, data: string): void;
  mkdir(path: string): void;
  symlink(path: string, target: string): void;
  remove(path: string): void;
  rename(path: string, to: string): void;
  chmod(path: string, mode: number): void;
  chown(path: string, uid: number): void;
  note(path: string, text: string): void;
  /** Gives a file its old time again. */
  old(path: string): void;
}

const attribute = (path: string, text: string): void => {
  const dirfd = openSync(dirname(path), 'r');
  try {
    setxattrat(dirfd, basename(path), 'user.note', Buffer.from(text));
  } finally {
    closeSync(dirfd);
  }
};

const plainHand = (root: string): Hand => ({
  write: (path, data) => writeFileSync(join(root, path), data),
  mkdir: (path) => mkdirSync(join(root, path)),
  symlink: (path, target) => symlinkSync(target, join(root, path)),
  remove: (path) => rmSync(join(root, path), { recursive: true }),
  rename: (path, to) => renameSync(join(root, path), join(root, to)),
  chmod: (path, mode) => {
    if (!lstatSync(join(root, path)).isSymbolicLink()) chmodSync(join(root, path), mode);
  },
  chown: (path, uid) => lchownSync(join(root, path), uid, uid),
  note: (path, text) => attribute(join(root, path), text),
  old: (path) => lutimesSync(join(root, path), OLD, OLD),
});

class UnionHand implements Hand {
  readonly #fs: UnionFilesystem;

  constructor(fs: UnionFilesystem) {
    this.#fs = fs;
  }

  #node(path: string): NodeId {
    return nodeAt(this.#fs, path.split('/').filter(Boolean)) ?? refuse();
  }

  #at(path: string): [NodeId, string] {
    return [this.#node(dirname(path)), basename(path)];
  }

  #isDirectory(node: NodeId): boolean {
    return (this.#fs.getattr(node).attributes.mode & S.IFMT) === S.IFDIR;
  }

  write(path: string, data: string): void {
    const [parent, name] = this.#at(path);
    const file = { kind: 'node', mode: S.IFREG | 0o644, major: 0, minor: 0, umask: 0 } as const;
    const entry = lookup(this.#fs, parent, name) ?? this.#fs.create(CALLER, parent, name, file);
    if ((entry.attributes.mode & S.IFMT) !== S.IFREG) refuse();
    this.#fs.setattr(CALLER, entry.nodeid, { ...UNCHANGED, size: 0 });
    this.#fs.write(CALLER, entry.nodeid, 0, Buffer.from(data), false);
  }

  mkdir(path: string): void {
    if (this.#has(path)) refuse();
    this.#fs.create(CALLER, ...this.#at(path), { kind: 'directory', mode: S.IFDIR | 0o755, umask: 0 });
  }

  symlink(path: string, target: string): void {
    if (this.#has(path)) refuse();
    this.#fs.create(CALLER, ...this.#at(path), { kind: 'symlink', target });
  }

  #has(path: string): boolean {
    return lookup(this.#fs, ...this.#at(path)) !== undefined;
  }

  remove(path: string): void {
    const node = this.#node(path);
    if (!this.#isDirectory(node)) {
      this.#fs.unlink(...this.#at(path));
      return;
    }
    const names: string[] = [];
    this.#fs.readdir(node, 2, { add: (name) => names.push(name) > 0 });
    for (const name of names) this.remove(`${path}/${name}`);
    this.#fs.rmdir(...this.#at(path));
  }

  rename(path: string, to: string): void {
    this.#node(path);
    if (`${to}/`.startsWith(`${path}/`)) refuse(); // the kernel does
    this.#has(to);
    this.#fs.rename(...this.#at(path), ...this.#at(to), 0);
  }

  #change(path: string, changed: object): void {
    this.#fs.setattr(CALLER, this.#node(path), { ...UNCHANGED, ...changed });
  }

  chmod(path: string, mode: number): void {
    const type = this.#fs.getattr(this.#node(path)).attributes.mode & S.IFMT;
    if (type !== S.IFLNK) this.#change(path, { mode });
  }

  chown(path: string, uid: number): void {
    this.#change(path, { uid, gid: uid });
  }

  note(path: string, text: string): void {
    this.#fs.setxattr(this.#node(path), 'user.note', Buffer.from(text), 0, false);
  }

  old(path: string): void {
    const time = { seconds: OLD, nanoseconds: 0 };
    this.#change(path, { atime: time, mtime: time });
  }
}

/** What is not possible is not done. */
function refuse(): never {
  throw new Errno(1);
}

const DIRECTORIES = ['', 'd', 'd/e', 'new'];
const NAMES = ['a', 'b', 'd', 'e', 'link', 'new'];

function act(hand: Hand, random: Random): void {
  const path = (): string => join('/', random.pick(DIRECTORIES), random.pick(NAMES));
  const [one, other, number] = [path(), path(), random.below(3)];
  const choices: readonly (() => void)[] = [
    () => hand.write(one, `text${number}`),
    () => hand.write(one, 'lower'),
    () => hand.mkdir(one),
    () => hand.symlink(one, `target${number}`),
    () => hand.remove(one),
    () => hand.rename(one, other),
    () => hand.rename(one, other),
    () => hand.chmod(one, 0o640 + number),
    () => hand.chown(one, number),
    () => hand.note(one, `note${number}`),
    () => hand.old(one),
  ];
  try {
    random.pick(choices)();
  } catch (error) {
    if (!(error instanceof Errno) && !(error instanceof Error && 'code' in error)) throw error;
  }
}

/** Two lower layers, all old. */
function writeLowers(disk: Disk): void {
  const empty = (): ReturnType<typeof inode> => inode('directory', 'layer', { mode: 0o755 });
  disk.write(empty(), [empty(), empty()]);
  for (const [layer, paths] of [
    ['lower2', ['a', 'b', 'd/a', 'd/b', 'd/e/a', 'd/e/e']],
    ['lower1', ['b', 'd/b', 'd/e/a']],
  ] as const) {
    const root = disk.path(layer);
    mkdirSync(join(root, 'd', 'e'), { recursive: true });
    for (const path of paths) writeFileSync(join(root, path), 'lower');
    attribute(join(root, 'd', 'b'), layer);
    symlinkSync('target0', join(root, 'd', 'link'));
    for (const path of [...paths, 'd/link', 'd/e', 'd', '']) lutimesSync(join(root, path), OLD, OLD);
  }
}

function withDisk(use: (disk: Disk) => void): void {
  const disk = new Disk('never');
  const umask = process.umask(0);
  try {
    writeLowers(disk);
    use(disk);
  } finally {
    disk.remove();
    process.umask(umask);
  }
}

/** A plain copy of the lower layers, and the time when it was complete. */
function copyOf(disk: Disk): { upper: string; copied: Time } {
  const upper = disk.path('copy');
  mkdirSync(upper);
  const view = viewOf({ lowers: disk.layers.slice(1) });
  const fd = openSync(upper, 'r');
  try {
    flatten(view, fd);
  } finally {
    view.close();
    closeSync(fd);
  }
  settle();
  writeFileSync(disk.path('clock'), '');
  const clock = openSync(disk.path('clock'), 'r');
  const copied = fstat(clock).ctime;
  closeSync(clock);
  settle();
  return { upper, copied };
}

const TICK_MS = 12;
const settle = (): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, TICK_MS);

// Redirects are the host's root's.
(IS_HOST_ROOT ? describe : (): void => {})(SUITE, () => {
  before(function () {
    requireConditions(this, SUITE, missingForFiles());
  });

  it(`of a union: all that differs and nothing else, after each of ${HISTORIES} histories`, () => {
    const random = new Random(SEED);
    let told = 0;
    for (let history = 0; history < HISTORIES; history++) {
      withDisk((disk) => {
        const lowers = disk.layers.slice(1);
        const before = treeOf({ lowers });
        const hand = new UnionHand(disk.open());
        for (let step = 0; step < STEPS; step++) act(hand, random);
        disk.close();
        const stack = { upper: disk.path('upper'), work: disk.path('work'), lowers };
        told += check(stack, before, treeOf(stack), `history ${history}`);
      });
    }
    assert.isAbove(told, 2 * HISTORIES);
  });

  it(`of a plain copy: all that differs and nothing else, after each of ${HISTORIES} histories`, () => {
    const random = new Random(SEED);
    let told = 0;
    withDisk((disk) => {
      const lowers = disk.layers.slice(1);
      const before = treeOf({ lowers });
      for (let history = 0; history < HISTORIES; history++) {
        const copy = copyOf(disk);
        const hand = plainHand(copy.upper);
        for (let step = 0; step < STEPS; step++) act(hand, random);
        told += check({ ...copy, lowers }, before, treeOf({ lowers: [copy.upper] }), `history ${history}`);
        rmSync(copy.upper, { recursive: true });
      }
    });
    assert.isAbove(told, 2 * HISTORIES);
  });

  it('names of one inode are told together, in a union and in a copy', () => {
    withDisk((disk) => {
      const lower = disk.path('lower2');
      linkSync(join(lower, 'a'), join(lower, 'twin'));
      linkSync(join(lower, 'a'), join(lower, 'd', 'twin'));
      const lowers = disk.layers.slice(1);
      const names = ['/a', '/d', '/d/twin', '/twin'];
      const copy = copyOf(disk);
      assert.deepEqual([...changes({ ...copy, lowers })], []);
      writeFileSync(join(copy.upper, 'twin'), 'LOWER');
      const told = (stack: ChangedStack): string[] => [...changes(stack)].map(({ path }) => path);
      assert.deepEqual(told({ ...copy, lowers }), names);
      new UnionHand(disk.open()).write('/twin', 'LOWER');
      disk.close();
      assert.deepEqual(told({ upper: disk.path('upper'), work: disk.path('work'), lowers }), names);
    });
  });

  it('data is compared to its end, wherever it differs, in chunks of any alignment', () => {
    withDisk((disk) => {
      const CHUNK = 256 * 1024;
      const file = disk.path('lower2', 'a');
      for (const length of [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK]) {
        writeFileSync(file, Buffer.alloc(length, 7));
        lutimesSync(file, OLD, OLD);
        const lowers = disk.layers.slice(1);
        const copy = copyOf(disk);
        const copied = join(copy.upper, 'a');
        for (const at of [-1, 0, length - 1]) {
          const data = readFileSync(file);
          if (at >= 0) data[at] = 8;
          writeFileSync(copied, data);
          lutimesSync(copied, OLD, OLD); // a program can set times back
          const told = [...changes({ ...copy, lowers })].map(({ path }) => path);
          assert.deepEqual(told, at < 0 ? [] : ['/a'], `${length} bytes, another at ${at}`);
        }
        rmSync(copy.upper, { recursive: true });
      }
    });
  });
});
