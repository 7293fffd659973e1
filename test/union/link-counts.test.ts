/**
 * Protects st_nlink and what hangs on it: whatever happens to the names of a file that a lower layer has several names
 * for, the union counts as many as it shows, at once and after a remount; names of one file hold the same data; and the
 * index keeps no file that has lost its last name.
 */
import { linkSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { assert } from 'chai';
import fc from 'fast-check';
import type { NodeId } from '../../fs/protocol/filesystem.js';
import { S } from '../../fs/sys/constants.js';
import { Errno } from '../../fs/sys/errno.js';
import type { UnionFilesystem } from '../../fs/union/filesystem.js';
import { missingForFiles, requireConditions } from '../support/acceptance/conditions.js';
import { IS_HOST_ROOT } from '../support/privilege.js';
import { CALLER, Disk, lookup, nodeAt } from '../support/union/disk.js';
import { inode } from '../support/union/model.js';

const SUITE = 'union/link counts';
const SEED = 20261128;
const RUNS = 150;
const ROOT = 1 as NodeId;
const DIRECTORIES = ['', 'd'] as const;
const NAMES = ['a', 'b', 'c'] as const;

const FILE = { kind: 'node', mode: S.IFREG | 0o644, major: 0, minor: 0, umask: 0 } as const;

interface Step {
  readonly op: 'write' | 'unlink' | 'link' | 'rename' | 'create' | 'remount';
  readonly from: string;
  readonly to: string;
}

const place = fc
  .tuple(fc.constantFrom(...DIRECTORIES), fc.constantFrom(...NAMES))
  .map(([directory, name]) => (directory === '' ? name : `${directory}/${name}`));
const step: fc.Arbitrary<Step> = fc.record({
  op: fc.constantFrom('write', 'unlink', 'link', 'rename', 'create', 'remount'),
  from: place,
  to: place,
});

const split = (path: string): [directory: string[], name: string] => {
  const parts = path.split('/');
  return [parts.slice(0, -1), parts.at(-1) as string];
};

class World {
  readonly disk = new Disk('never');
  fs: UnionFilesystem;
  #written = 0;

  constructor() {
    const empty = (): ReturnType<typeof inode> => inode('directory', 'layer', { mode: 0o755 });
    this.disk.write(empty(), [empty()]);
    mkdirSync(this.disk.path('lower1', 'd'));
    writeFileSync(this.disk.path('lower1', 'a'), 'lower');
    linkSync(this.disk.path('lower1', 'a'), this.disk.path('lower1', 'b'));
    linkSync(this.disk.path('lower1', 'a'), this.disk.path('lower1', 'd', 'a'));
    this.fs = this.disk.open();
  }

  #parent(path: string): NodeId {
    return nodeAt(this.fs, split(path)[0]) ?? assert.fail(`no parent of ${path}`);
  }

  entry(path: string) {
    return lookup(this.fs, this.#parent(path), split(path)[1]);
  }

  /** As the kernel does it: it makes no name that is there already. */
  perform({ op, from, to }: Step): void {
    const [, name] = split(from);
    const node = this.entry(from)?.nodeid;
    if (op === 'remount') this.fs = this.disk.open();
    else if (op === 'create' && node === undefined) this.fs.create(CALLER, this.#parent(from), name, FILE);
    else if (node === undefined) return;
    else if (op === 'write') this.fs.write(CALLER, node, 0, Buffer.from(`text ${this.#written++}`), false);
    else if (op === 'unlink') this.fs.unlink(this.#parent(from), name);
    else if (op === 'link' && this.entry(to) === undefined)
      this.fs.link(node, this.#parent(to), split(to)[1]);
    else if (op === 'rename') this.fs.rename(this.#parent(from), name, this.#parent(to), split(to)[1], 0);
  }

  /** Names by inode number: the count that each of them shows, and its data. */
  check(when: string): void {
    const groups = new Map<string, { path: string; nlink: number; data: string }[]>();
    for (const directory of DIRECTORIES) {
      for (const name of NAMES) {
        const path = directory === '' ? name : `${directory}/${name}`;
        const entry = this.entry(path);
        if (entry === undefined) continue;
        const room = Buffer.alloc(100);
        const data = room.toString('latin1', 0, this.fs.read(entry.nodeid, 0, room));
        const ino = String(entry.attributes.ino);
        groups.set(ino, [...(groups.get(ino) ?? []), { path, nlink: entry.attributes.nlink, data }]);
      }
    }
    for (const names of groups.values()) {
      for (const { path, nlink, data } of names) {
        assert.equal(nlink, names.length, `${when}: st_nlink of ${path}`);
        assert.equal(data, names[0]?.data, `${when}: data of ${path}`);
      }
    }
  }

  /** How many files the index keeps. */
  indexed(): number {
    return readdirSync(this.disk.path('work', 'index')).length;
  }
}

// Who has no index gives other names of a copy back to the lower file.
(IS_HOST_ROOT ? describe : (): void => {})(SUITE, () => {
  before(function () {
    requireConditions(this, SUITE, missingForFiles());
  });

  it(`are the number of names, after each of ${RUNS} random histories`, () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), (steps) => {
        const world = new World();
        try {
          world.check('at first');
          for (const [at, next] of steps.entries()) {
            try {
              world.perform(next);
            } catch (error) {
              if (!(error instanceof Errno)) throw error; // refused, as EEXIST; nothing has changed
            }
            world.check(`after step ${at}, ${next.op} ${next.from} ${next.to}`);
          }
          world.fs = world.disk.open();
          world.check('after a remount');
        } finally {
          world.disk.remove();
        }
      }),
      { seed: SEED, numRuns: RUNS },
    );
  });

  it('with its last name a file leaves the index', () => {
    const world = new World();
    try {
      world.perform({ op: 'write', from: 'a', to: 'a' });
      assert.equal(world.indexed(), 1);
      for (const path of ['a', 'd/a']) world.perform({ op: 'unlink', from: path, to: path });
      assert.equal(world.indexed(), 1);
      world.check('with one name left');
      world.perform({ op: 'remount', from: 'a', to: 'a' });
      world.perform({ op: 'unlink', from: 'b', to: 'b' });
      assert.equal(world.indexed(), 0);
      assert.isUndefined(lookup(world.fs, ROOT, 'b'));
    } finally {
      world.disk.remove();
    }
  });
});
