/**
 * Protects the kernel from what it remembers wrongly: whatever happens to lower layers behind the mount's back, whoever
 * looks afterwards, with all names, attributes, listings and pages that the kernel still has, sees what a new mount shows.
 * With watches at once; where there are none, when time-outs are over.
 *
 * The kernel is played by a cache that keeps all it was told until it is told otherwise.
 */
import {
  appendFileSync,
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
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
import type { NodeId, Notifier } from '../../fs/protocol/filesystem.js';
import { AT, S } from '../../fs/sys/constants.js';
import { E, Errno } from '../../fs/sys/errno.js';
import type { Stat } from '../../fs/sys/stat.js';
import { mknodat, removexattrat, setxattrat } from '../../fs/sys/syscalls.js';
import type { UnionFilesystem } from '../../fs/union/filesystem.js';
import { Changes } from '../../fs/union/nodes/changes.js';
import { FOREVER, UNWATCHED } from '../../fs/union/nodes/trust.js';
import { openInotify, type Watcher } from '../../fs/union/nodes/watcher.js';
import { missingForFiles, requireConditions } from '../support/acceptance/conditions.js';
import { IS_HOST_ROOT, MARK } from '../support/privilege.js';
import { Random } from '../support/random.js';
import { CALLER, Disk, NO_PRUNING } from '../support/union/disk.js';
import { refusing } from '../support/union/faults.js';
import { inode } from '../support/union/model.js';

const SUITE = 'union/watcher';
const SEED = 53;
const STEPS = 250;
const ROOT = 1 as NodeId;
const TICK_MS = 30;
/** Every directory of the view is asked for these, be they there or not. */
const NAMES = ['a', 'b', 'c', 'd'];
/** The cookies of "." and "..". */
const DOTS = 2;

/** What the kernel remembers of a mount. */
class Kernel implements Notifier {
  readonly #entries = new Map<string, { node: NodeId | undefined; isForever: boolean }>();
  readonly #attributes = new Map<NodeId, { stat: Stat; isForever: boolean }>();
  readonly #listings = new Map<NodeId, string[]>();
  readonly #pages = new Map<NodeId, Buffer>();
  fs!: UnionFilesystem;
  #told = 0;
  /** Notifications that it has not taken yet; undefined if it takes them at once. */
  waiting: NodeId[] | undefined;

  invalidateEntry(parent: NodeId, name: string): void {
    this.#entries.delete(`${parent}/${name}`);
  }

  invalidateInode(node: NodeId): number {
    this.#told += 1;
    if (this.waiting !== undefined) this.waiting.push(node);
    else this.#forget(node);
    return this.#told;
  }

  isDelivered(): boolean {
    return this.waiting === undefined;
  }

  /** Takes what has waited. */
  deliver(): void {
    for (const node of this.waiting ?? []) this.#forget(node);
    this.waiting = undefined;
  }

  #forget(node: NodeId): void {
    this.#attributes.delete(node);
    this.#listings.delete(node);
    this.#pages.delete(node);
  }

  /** Time-outs are over. */
  expire(): void {
    for (const [key, { isForever }] of this.#entries) if (!isForever) this.#entries.delete(key);
    for (const [node, { isForever }] of this.#attributes) if (!isForever) this.#attributes.delete(node);
  }

  child(parent: NodeId, name: string): NodeId | undefined {
    const key = `${parent}/${name}`;
    const known = this.#entries.get(key);
    if (known !== undefined) return known.node;
    const result = this.fs.lookup(CALLER, parent, name);
    if ('absentFor' in result) {
      this.#entries.set(key, { node: undefined, isForever: result.absentFor === FOREVER });
      return undefined;
    }
    const { nodeid, attributes, entryTimeout, attributeTimeout } = result;
    this.#entries.set(key, { node: nodeid, isForever: entryTimeout === FOREVER });
    this.#attributes.set(nodeid, { stat: attributes, isForever: attributeTimeout === FOREVER });
    return nodeid;
  }

  stat(node: NodeId): Stat {
    const known = this.#attributes.get(node);
    if (known !== undefined) return known.stat;
    const { attributes, attributeTimeout } = this.fs.getattr(node);
    if (attributeTimeout > 0)
      this.#attributes.set(node, { stat: attributes, isForever: attributeTimeout === FOREVER });
    return attributes;
  }

  names(node: NodeId): string[] {
    const known = this.#listings.get(node);
    if (known !== undefined) return known;
    const names: string[] = [];
    this.#listings.set(node, names); // it may be told before the end that this one is not to be kept
    for (let cookie = 0, before = -1; before !== cookie; ) {
      before = cookie;
      this.fs.readdir(node, cookie, {
        add: (name, _ino, _type, own) => {
          if (own > DOTS) names.push(name);
          cookie = own;
          return true;
        },
      });
    }
    return names.sort();
  }

  /** A file's data as read(2) gives it: pages that are remembered, up to the size that is known, zeros where there are none. */
  data(node: NodeId): string {
    const size = Number(this.stat(node).size);
    let pages = this.#pages.get(node);
    if (pages === undefined) {
      pages = Buffer.alloc(size);
      pages = pages.subarray(0, this.fs.read(node, 0, pages));
      this.#pages.set(node, pages);
    }
    return Buffer.concat([pages, Buffer.alloc(size)])
      .subarray(0, size)
      .toString('latin1');
  }
}

/** Everything that a kernel shows, as lines. Who looks twice at what is changing is told to try again (ESTALE). */
function view(kernel: Kernel, node = ROOT, path = '', lines: string[] = []): string[] {
  lines.push(`${path}/: ${kernel.names(node).join(' ')}`);
  for (const name of new Set([...NAMES, ...kernel.names(node)])) {
    const child = kernel.child(node, name);
    if (child === undefined) {
      lines.push(`${path}/${name} is not there`);
      continue;
    }
    const { mode, nlink, ino, uid } = kernel.stat(child);
    const type = mode & S.IFMT;
    const links = type === S.IFDIR ? '' : nlink;
    const data = type === S.IFREG ? kernel.data(child) : type === S.IFLNK ? kernel.fs.readlink(child) : '';
    lines.push(`${path}/${name} ${mode.toString(8)} ${links} ${ino} ${uid} ${data}`);
    if (type === S.IFDIR) view(kernel, child, `${path}/${name}`, lines);
  }
  return lines;
}

/** Does something with a path's directory and name. */
function at(path: string, use: (dirfd: number, name: string) => void): void {
  const dirfd = openSync(dirname(path), 'r');
  try {
    use(dirfd, basename(path));
  } finally {
    closeSync(dirfd);
  }
}

const setMark = (path: string, mark: string): void =>
  at(path, (dirfd, name) => setxattrat(dirfd, name, MARK + mark, Buffer.from('y')));
const clearMark = (path: string, mark: string): void =>
  at(path, (dirfd, name) => removexattrat(dirfd, name, MARK + mark));

type Change = (layer: string, random: Random) => void;

const pathIn = (layer: string, random: Random): string =>
  join(layer, ...[random.pick(['', 'a', 'a/b', 'd']), random.pick(NAMES)].filter(Boolean));
const isDirectory = (path: string): boolean =>
  lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;

/** What somebody may do to a layer; what the filesystem refuses does not happen. */
const CHANGES: Readonly<Record<string, Change>> = {
  write: (layer, random) => writeFileSync(pathIn(layer, random), `text ${random.below(1000)}`),
  'write again': (layer, random) => appendFileSync(pathIn(layer, random), ` more ${random.below(1000)}`),
  mkdir: (layer, random) => mkdirSync(pathIn(layer, random)),
  remove: (layer, random) => rmSync(pathIn(layer, random), { recursive: true }),
  rename: (layer, random) => renameSync(pathIn(layer, random), pathIn(layer, random)),
  link: (layer, random) => linkSync(pathIn(layer, random), pathIn(layer, random)),
  symlink: (layer, random) => symlinkSync(`target ${random.below(9)}`, pathIn(layer, random)),
  chmod: (layer, random) => chmodSync(pathIn(layer, random), 0o700 + random.below(0o100)),
  whiteout: (layer, random) => mknodat(AT.FDCWD, pathIn(layer, random), S.IFCHR, 0, 0),
  '.wh. name': (layer, random) => {
    const path = pathIn(layer, random).split('/');
    const name = `.wh.${path.pop()}`;
    const whiteout = join(...['/', ...path, name]);
    if (existsSync(whiteout)) rmSync(whiteout);
    else writeFileSync(whiteout, '');
  },
  'opaque name': (layer, random) => {
    const path = pathIn(layer, random);
    const mark = join(path, '.wh..wh..opq');
    if (!isDirectory(path)) return;
    if (existsSync(mark)) rmSync(mark);
    else writeFileSync(mark, '');
  },
  'opaque mark': (layer, random) => {
    const path = pathIn(layer, random);
    if (!isDirectory(path)) return;
    if (random.below(2) === 0) setMark(path, 'opaque');
    else clearMark(path, 'opaque');
  },
  'whiteout mark': (layer, random) => {
    const path = pathIn(layer, random);
    if (!isDirectory(path)) setMark(path, 'whiteout');
  },
};

const isRefusal = (error: unknown): boolean =>
  error instanceof Errno || (error instanceof Error && 'code' in error);

/** Does one thing to one layer; what, or undefined if the filesystem refuses it. */
function change(disk: Disk, random: Random): string | undefined {
  const layer = disk.path(random.pick(['lower1', 'lower2']));
  const what = random.pick(Object.keys(CHANGES));
  try {
    CHANGES[what]?.(layer, random);
    return `${what} in ${layer}`;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return undefined;
  }
}

/** What makes a directory opaque, and takes that away again. */
const MARKS: readonly (readonly [set: (path: string) => void, clear: (path: string) => void])[] = [
  [(path) => setMark(path, 'opaque'), (path) => clearMark(path, 'opaque')],
  [(path) => writeFileSync(join(path, '.wh..wh..opq'), ''), (path) => rmSync(join(path, '.wh..wh..opq'))],
];

/** A time that was taken is a tick of the kernel's clock old: a change from now on has another. */
const settle = (): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, TICK_MS);

interface Watched {
  readonly disk: Disk;
  readonly kernel: Kernel;
  readonly changes: Changes;
  readonly watcher: Watcher;
}

/** A union over an upper and two lower layers, which are watched through `inotify`. */
function withUnion(inotify: number | undefined, use: (watched: Watched) => void): void {
  const disk = new Disk('watch');
  const umask = process.umask(0);
  const layer = (): ReturnType<typeof inode> => inode('directory', 'layer', { mode: 0o755 });
  try {
    const sub = (): ReturnType<typeof inode> =>
      inode('directory', 'layer', {
        mode: 0o755,
        children: { b: layer(), c: inode('file', 'c', { data: 'c' }) },
      });
    disk.write(layer(), [
      inode('directory', 'layer', { mode: 0o755, children: { a: sub(), d: layer() } }),
      inode('directory', 'layer', { mode: 0o755, children: { a: sub() } }),
    ]);
    const kernel = new Kernel();
    const told = { notifier: kernel, attributesChanged: () => {}, pruning: NO_PRUNING };
    kernel.fs = disk.open({ kernel: told, inotify });
    const watcher = disk.union.watcher ?? assert.fail('no watcher');
    try {
      use({ disk, kernel, watcher, changes: new Changes(disk.union, watcher) });
    } finally {
      watcher.close();
    }
  } finally {
    disk.remove();
    process.umask(umask);
  }
}

/** What a mount of now shows. */
const fresh = (disk: Disk): string[] =>
  disk.peek((fs) => {
    const kernel = new Kernel();
    kernel.fs = fs;
    return view(kernel);
  });

// Redirects and whiteout devices in layers are the host's root's.
(IS_HOST_ROOT ? describe : (): void => {})(SUITE, () => {
  before(function () {
    requireConditions(this, SUITE, missingForFiles());
  });

  const CASES = {
    'watches: at once': () => openInotify() ?? assert.fail('no inotify'),
    'no watches: when time-outs are over': () => undefined,
  };
  for (const [what, inotify] of Object.entries(CASES)) {
    it(`${what}, the kernel sees what is there, after each of ${STEPS} changes`, () => {
      const random = new Random(SEED);
      withUnion(inotify(), ({ disk, kernel, watcher, changes }) => {
        assert.deepEqual(view(kernel), fresh(disk));
        const done = new Set<string>();
        for (let step = 0; step < STEPS; step++) {
          const made = change(disk, random);
          if (made === undefined) continue;
          done.add(made);
          changes.handle();
          if (watcher.fd === undefined) kernel.expire();
          assert.deepEqual(view(kernel), fresh(disk), `step ${step}: ${made}`);
        }
        assert.isAbove(done.size, Object.keys(CHANGES).length);
      });
    });
  }

  it('who holds a file that changes unwatched is shown the new size only with the new data', () => {
    withUnion(undefined, ({ disk, kernel }) => {
      const file = disk.path('lower1', 'a', 'c');
      writeFileSync(file, 'old');
      const directory = kernel.child(ROOT, 'a') ?? assert.fail('no a');
      const node = kernel.child(directory, 'c') ?? assert.fail('no c');
      assert.equal(kernel.data(node), 'old');
      kernel.waiting = [];
      writeFileSync(file, 'much longer');
      kernel.expire();
      assert.equal(kernel.data(node), 'old');
      assert.include(kernel.waiting, node);
      settle();
      kernel.stat(node);
      kernel.deliver();
      assert.equal(kernel.data(node), 'much longer');
      writeFileSync(file, 'short');
      kernel.expire();
      settle();
      kernel.stat(node); // its notification is taken at once
      assert.equal(kernel.data(node), 'short');
    });
  });

  it('who holds a file whose name another has got unwatched is told that it is another', () => {
    withUnion(undefined, ({ disk, kernel }) => {
      const directory = kernel.child(ROOT, 'a') ?? assert.fail('no a');
      const node = kernel.child(directory, 'c') ?? assert.fail('no c');
      writeFileSync(disk.path('lower1', 'other'), 'other');
      renameSync(disk.path('lower1', 'other'), disk.path('lower1', 'a', 'c'));
      kernel.expire();
      assert.throws(() => kernel.stat(node), Errno, 'ESTALE');
      const other = kernel.child(directory, 'c') ?? assert.fail('no c');
      assert.notEqual(other, node);
      assert.equal(kernel.data(other), 'other');
    });
  });

  it('what is looked up where nothing is watched is believed for a second, elsewhere forever', () => {
    const timeouts = (inotify: number | undefined): number[] => {
      let seen: number[] = [];
      withUnion(inotify, ({ kernel }) => {
        const result = kernel.fs.lookup(CALLER, ROOT, 'a');
        const absent = kernel.fs.lookup(CALLER, ROOT, 'nothing');
        seen = 'absentFor' in result ? [] : [result.entryTimeout, result.attributeTimeout];
        seen.push('absentFor' in absent ? absent.absentFor : Number.NaN);
      });
      return seen;
    };
    assert.deepEqual(timeouts(undefined), [UNWATCHED, UNWATCHED, UNWATCHED]);
    assert.equal(timeouts(openInotify())[0], FOREVER);
    assert.equal(timeouts(openInotify())[2], FOREVER);
  });

  it('watches go with the directories that are forgotten, and come with those that are visited', () => {
    withUnion(openInotify(), ({ disk, kernel, watcher }) => {
      view(kernel);
      const all = watcher.watchCount;
      const directory = kernel.child(ROOT, 'a') ?? assert.fail('no a');
      const inner = kernel.child(directory, 'b') ?? assert.fail('no b');
      assert.equal(all, 2 + 2 + 2 + 1); // the roots, both "a", both "a/b", one "d"
      kernel.fs.forget(inner, 1);
      assert.equal(watcher.watchCount, all - 2);
      kernel.invalidateEntry(directory, 'b');
      view(kernel);
      assert.equal(watcher.watchCount, all);
      assert.isTrue(disk.union.trust.holds(disk.union.root));
    });
  });

  it('a directory whose watch is refused is looked at again, and the others are watched', () => {
    withUnion(openInotify(), ({ disk, kernel, changes }) => {
      const directory = kernel.child(ROOT, 'a') ?? assert.fail('no a');
      refusing('inotify_add_watch', E.ENOSPC, () => kernel.child(directory, 'c'));
      assert.isFalse(disk.union.trust.holds(disk.union.nodes.directory(directory)));
      assert.isTrue(disk.union.trust.holds(disk.union.root));
      kernel.names(directory);
      writeFileSync(disk.path('lower2', 'a', 'd'), 'new');
      changes.handle();
      kernel.expire();
      assert.deepEqual(view(kernel), fresh(disk));
    });
  });

  it('names that were not there appear with the mark that hid them gone, in a directory that is looked into', () => {
    for (const [set, clear] of MARKS) {
      withUnion(openInotify(), ({ disk, kernel, changes }) => {
        const directory = disk.path('lower1', 'a');
        writeFileSync(disk.path('lower2', 'a', 'd'), 'below');
        set(directory);
        assert.include(view(kernel), '/a/d is not there');
        clear(directory);
        changes.handle();
        assert.deepEqual(view(kernel), fresh(disk));
        assert.notInclude(view(kernel), '/a/d is not there');
      });
    }
  });

  it('a lost event makes everything be looked up again', () => {
    withUnion(openInotify(), ({ disk, kernel, changes }) => {
      view(kernel);
      const most = Number(readFileSync('/proc/sys/fs/inotify/max_queued_events', 'latin1'));
      const one = disk.path('lower1', 'a', 'c');
      const other = disk.path('lower1', 'd');
      for (let count = 0; count <= most / 2; count++) {
        chmodSync(one, 0o600 + (count & 1));
        chmodSync(other, 0o700 + (count & 1));
      }
      writeFileSync(disk.path('lower1', 'd', 'a'), 'after the end');
      changes.handle();
      assert.deepEqual(view(kernel), fresh(disk));
    });
  });

  it('an instance that the kernel refuses is none', () => {
    assert.isUndefined(refusing('inotify_init1', E.EMFILE, openInotify));
  });
});
