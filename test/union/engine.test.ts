/**
 * Protects the way from the rules to the disk: on real layers, with every form of whiteout and mark, the union shows
 * what the model shows, and after operations it shows what a plain tree would, at once and to the next mount, with
 * the same inode numbers and nothing left in work.
 *
 * Nothing is mounted: the union is asked through the `Filesystem` interface. It needs root, of the host or of a user
 * namespace, for owners and xattrs.
 */
import { assert } from 'chai';
import type { NodeId } from '../../fs/protocol/filesystem.js';
import { RENAME, S } from '../../fs/sys/constants.js';
import { E, Errno, errnoName } from '../../fs/sys/errno.js';
import type { UnionFilesystem } from '../../fs/union/filesystem.js';
import type { Operation, Refusal, RenameMode } from '../../fs/union/rules/plan.js';
import { missingForFiles, requireConditions } from '../support/acceptance/conditions.js';
import { IS_HOST_ROOT } from '../support/privilege.js';
import { UNCHANGED } from '../support/protocol/bytes.js';
import { Random } from '../support/random.js';
import {
  CALLER,
  CHANGED,
  Disk,
  inodesOf,
  linesOf,
  lookup,
  nodeAt,
  type Told,
  tell,
} from '../support/union/disk.js';
import { type Place, pathOf } from '../support/union/machine.js';
import { descend, flattenUpper, type Seen } from '../support/union/model.js';
import { type Outcome, perform, performRename } from '../support/union/oracle.js';
import {
  build,
  describe as described,
  everyHolding,
  type Holding,
  type Parent,
  type Stack,
} from '../support/union/stacks.js';

const SUITE = 'union/engine';
const SEED = 23;
/** Names per operation, drawn from all combinations. */
const DRAWN = 150;
const PAIRS = 120;
/** The long run: operations on so many names and what is below them. */
const STEPS = 1500;
const NAMES = 40;
const REMOUNT_EVERY = 100;

/** A directory for names whose parent is in every layer, in lower ones only, in upper only. */
const DIRECTORIES: Record<Parent, string> = { merged: 'p', below: 'b', above: 'a' };
const NOTHING: Holding = { forms: ['absent', 'absent', 'absent'], contents: 'full', parent: 'merged' };

type Held = readonly [Place, Holding];

/** Names `prefix0`, `prefix1` ... that hold what is drawn. What they are redirected to by a path exists, too. */
function draw(random: Random, holdings: readonly Holding[], prefix: string, count: number): Held[] {
  return Array.from({ length: count }, (_, number): Held => {
    const holding = random.pick(holdings);
    return [{ directory: [DIRECTORIES[holding.parent]], name: `${prefix}${number}` }, holding];
  });
}

function stackOf(held: readonly Held[]): Stack {
  const origins = held.map(([{ name }, { contents }]): Held => {
    return [
      { directory: ['p'], name },
      { ...NOTHING, contents },
    ];
  });
  const elsewhere = held.filter(([, { parent }]) => parent !== 'merged');
  return build(...held, ...origins.filter((_, index) => elsewhere.includes(held[index] as Held)));
}

/** The union of a stack on disk, for as long as `use` takes. */
function withDisk(stack: Stack, layerChanges: 'never' | number, use: (disk: Disk) => void): void {
  const disk = new Disk(layerChanges);
  const umask = process.umask(0);
  try {
    disk.write(stack.upper, stack.lowers);
    use(disk);
  } finally {
    disk.remove();
    process.umask(umask);
  }
}

/** Compares what the union shows with a view, name by name. */
function assertShows(when: string, told: Told, expected: Seen, describe: (path: string) => string): void {
  const lines = linesOf(expected);
  for (const path of new Set([...lines.keys(), ...told.lines.keys()])) {
    const [shown, wanted] = [told.lines.get(path), lines.get(path)];
    if (shown !== wanted) assert.strictEqual(shown, wanted, `${when}: ${path}, ${describe(path)}`);
  }
  assert.deepEqual(told.contradictions, [], when);
}

/**
 * The same inode of the model must have the same number, wherever it has moved. Who may not open the handle of an
 * origin, which takes the host's root, finds it after a remount under its own name, and only what can have a `user.`
 * attribute has one.
 */
function assertSameInodes(when: string, before: [Seen, Told], after: [Seen, Told], remounted: boolean): void {
  const old = inodesOf(before[0]);
  const lines = linesOf(after[0]);
  const lasts = (path: string, ino: string): boolean =>
    old.get(path) === ino && / (file|directory) /.test(lines.get(path) ?? '');
  const numbers = new Map([...old].map(([path, ino]) => [ino, before[1].inodes.get(path)]));
  for (const [path, ino] of inodesOf(after[0])) {
    const number = numbers.get(ino);
    if (number !== undefined && (IS_HOST_ROOT || !remounted || lasts(path, ino)))
      assert.strictEqual(after[1].inodes.get(path), number, `${when}: st_ino of ${path}`);
  }
}

/** Which combination a path belongs to. */
const describing =
  (held: readonly Held[]) =>
  (path: string): string =>
    held
      .filter(
        ([place]) =>
          path === `/${pathOf(place).join('/')}` || path.startsWith(`/${pathOf(place).join('/')}/`),
      )
      .map(([, holding]) => described(holding))
      .join('; ');

// --- operations ------------------------------------------------------------------------------------------------

/** The errno's name, or nothing if it succeeds. */
function attempt(action: () => unknown): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    if (error instanceof Errno) return errnoName(error.code);
    throw error;
  }
}

/** What the kernel refuses by itself, after the lookup it always begins with. */
const BY_KERNEL: readonly Refusal[] = ['ENOENT', 'EEXIST'];

function carryOut(
  fs: UnionFilesystem,
  operation: Operation,
  { directory, name }: Place,
  expected: Outcome,
): void {
  const parent = nodeAt(fs, directory) as NodeId;
  const entry = lookup(fs, parent, name);
  if ('refused' in expected && BY_KERNEL.includes(expected.refused)) {
    assert.strictEqual(entry === undefined, expected.refused === 'ENOENT', name);
    throw new Errno(E[expected.refused]);
  }
  switch (operation) {
    case 'create':
      fs.create(CALLER, parent, name, { kind: 'node', mode: S.IFREG | 0o644, major: 0, minor: 0, umask: 0 });
      return;
    case 'mkdir':
      fs.create(CALLER, parent, name, { kind: 'directory', mode: S.IFDIR | 0o644, umask: 0 });
      return;
    case 'unlink':
      fs.unlink(parent, name);
      return;
    case 'rmdir':
      fs.rmdir(parent, name);
      return;
    default:
      if (entry === undefined) throw new Error(`${name} is not there`);
      if (operation === 'write') change(fs, entry.nodeid, (entry.attributes.mode & S.IFMT) === S.IFREG);
  }
}

function change(fs: UnionFilesystem, node: NodeId, isFile: boolean): void {
  if (isFile) {
    const { size } = fs.getattr(node).attributes;
    const data = Buffer.from('changed');
    fs.write(CALLER, node, 0, data, false);
    if (size > data.length) fs.setattr(CALLER, node, { ...UNCHANGED, size: data.length });
  }
  fs.setxattr(node, CHANGED, Buffer.from('1'), 0, false);
}

const FLAGS: Record<RenameMode, number> = {
  replace: 0,
  noreplace: RENAME.NOREPLACE,
  exchange: RENAME.EXCHANGE,
};

const MODES = Object.keys(FLAGS) as RenameMode[];

function move(fs: UnionFilesystem, from: Place, to: Place, mode: RenameMode): void {
  const [parent, newParent] = [nodeAt(fs, from.directory), nodeAt(fs, to.directory)] as [NodeId, NodeId];
  fs.rename(parent, from.name, newParent, to.name, FLAGS[mode]);
}

/** Looks like the kernel does, and forgets again now and then, as under memory pressure. */
function forgetSome(fs: UnionFilesystem, random: Random, { directory, name }: Place): void {
  const parent = nodeAt(fs, directory);
  const entry = parent === undefined ? undefined : lookup(fs, parent, name);
  if (entry !== undefined && random.below(2) === 0) fs.forget(entry.nodeid, 1000);
}

/** Carries operations out on disk and on the view, compares all that is shown afterwards; how many succeeded. */
function compare(
  held: readonly Held[],
  layerChanges: 'never' | number,
  steps: (disk: Disk, random: Random) => Iterable<(view: Seen) => [string | undefined, Outcome, string]>,
): number {
  const stack = stackOf(held);
  const random = new Random(SEED);
  let succeeded = 0;
  withDisk(stack, layerChanges, (disk) => {
    const before = flattenUpper(stack.upper, stack.below);
    let view = before;
    const toldBefore = tell(disk.open());
    assertShows('at first', toldBefore, view, describing(held));
    for (const step of steps(disk, random)) {
      const [failed, outcome, label] = step(view);
      const expected = 'refused' in outcome ? outcome.refused : undefined;
      if (failed !== expected) assert.strictEqual(failed, expected, label);
      if ('view' in outcome) {
        view = outcome.view;
        succeeded++;
      }
    }
    const told = tell(disk.filesystem);
    assertShows('at once', told, view, describing(held));
    assertSameInodes('at once', [before, toldBefore], [view, told], disk.openings > 1);
    assert.isEmpty(disk.leftovers());
    const again = tell(disk.open());
    assertShows('after a remount', again, view, describing(held));
    assertSameInodes('after a remount', [before, toldBefore], [view, again], true);
  });
  return succeeded;
}

// --- tests -----------------------------------------------------------------------------------------------------

describe(SUITE, function () {
  this.timeout(120_000);
  before(function () {
    requireConditions(this, SUITE, missingForFiles());
  });

  // Redirects are the host's root's alone to write, and to see.
  const holdings = everyHolding().filter(
    ({ forms }) => IS_HOST_ROOT || !forms.some((form) => form.includes('redirected')),
  );

  it('shows every combination of three layers as the model does', () => {
    const full = holdings.filter(({ contents }) => contents === 'full');
    const held = full.map((holding, number): Held => {
      return [{ directory: [DIRECTORIES[holding.parent]], name: `n${number}` }, holding];
    });
    const stack = stackOf(held);
    withDisk(stack, 'never', (disk) => {
      assertShows('at first', tell(disk.open()), flattenUpper(stack.upper, stack.below), describing(held));
    });
  });

  const OPERATIONS: readonly Operation[] = ['write', 'create', 'mkdir', 'unlink', 'rmdir'];
  for (const layerChanges of ['never', 1] as const) {
    for (const operation of OPERATIONS) {
      it(`${operation} (layer changes: ${layerChanges}) does on disk what it does to a plain tree`, () => {
        const held = draw(new Random(SEED), holdings, 'n', DRAWN);
        compare(held, layerChanges, function* ({ filesystem: fs }, random) {
          for (const [place, holding] of held) {
            forgetSome(fs, random, place);
            yield (view) => {
              const label = `${operation} ${described(holding)}`;
              const outcome = perform(operation, view, place, IS_HOST_ROOT);
              return [attempt(() => carryOut(fs, operation, place, outcome)), outcome, label];
            };
          }
        });
      });
    }

    for (const mode of MODES) {
      it(`rename, ${mode} (layer changes: ${layerChanges}) does on disk what it does to a plain tree`, () => {
        const drawing = new Random(SEED);
        const sources = draw(drawing, holdings, 'n', PAIRS);
        const targets = draw(drawing, holdings, 'm', PAIRS);
        compare([...sources, ...targets], layerChanges, function* ({ filesystem: fs }, random) {
          for (const [index, [from, source]] of sources.entries()) {
            const [to, target] = targets[index] as Held;
            forgetSome(fs, random, from);
            forgetSome(fs, random, to);
            yield (view) => {
              const label = `rename ${described(source)} to ${described(target)}`;
              const outcome = performRename(view, from, to, mode, IS_HOST_ROOT);
              return [attempt(() => move(fs, from, to, mode)), outcome, label];
            };
          }
        });
      });
    }
  }

  it('directories stay whole when they, and then what is in them, move on and on', () => {
    const merged: Holding = {
      forms: ['directory', 'directory', 'directory'],
      contents: 'full',
      parent: 'merged',
    };
    const lower: Holding = { ...merged, forms: ['absent', 'directory', 'directory'] };
    const held: Held[] = [
      [at('p', 'n0'), merged],
      [at('p', 'n1'), lower],
      [at('b', 'n2'), { ...lower, parent: 'below' }],
      [at('a', 'n3'), { ...NOTHING, parent: 'above' }],
    ];
    const MOVES: readonly [from: Place, to: Place][] = [
      [at('p', 'n0'), at('p', 'beside')],
      [at('p', 'beside'), at('a', 'above')],
      [at('a', 'above', 'sub'), at('p', 'n1', 'inner')],
      [at('p', 'n1'), at('b', 'n1')],
      [at('b', 'n1', 'sub'), at('b', 'n2', 'other')],
      [at('b', 'n2', 'sub'), at('b', 'out')],
      [at('b', 'n2'), at('a', 'above', 'n2')],
      [at('a', 'above', 'n2', 'other'), at('p', 'n0')],
      [at('b', 'n1', 'inner'), at('p', 'inner')],
      [at('b'), at('a', 'b')],
      [at('a', 'b', 'out'), at('out')],
    ];
    compare(held, 'never', function* (disk) {
      for (const [from, to] of MOVES) {
        yield (view) => {
          const outcome = performRename(view, from, to, 'noreplace', IS_HOST_ROOT);
          const run = () => move(disk.filesystem, from, to, 'noreplace');
          return [attempt(run), outcome, `${pathOf(from).join('/')} to ${pathOf(to).join('/')}`];
        };
        disk.open();
      }
    });
  });

  for (const layerChanges of ['never', 1] as const) {
    it(`${STEPS} operations of all kinds (layer changes: ${layerChanges}) end where a plain tree ends`, () => {
      const held = draw(new Random(SEED), holdings, 'n', NAMES);
      const succeeded = compare(held, layerChanges, function* (disk, random) {
        for (let step = 0; step < STEPS; step++) {
          if (step % REMOUNT_EVERY === 0) disk.open();
          yield (view) => {
            const fs = disk.filesystem;
            const [place, other] = [choose(random, view, held), choose(random, view, held)];
            forgetSome(fs, random, place);
            if (random.below(3) > 0) {
              const operation = random.pick(OPERATIONS);
              const outcome = perform(operation, view, place, IS_HOST_ROOT);
              const label = `step ${step}: ${operation} ${pathOf(place).join('/')}`;
              return [attempt(() => carryOut(fs, operation, place, outcome)), outcome, label];
            }
            const mode = random.pick(MODES);
            const label = `step ${step}: rename ${pathOf(place).join('/')} ${pathOf(other).join('/')} ${mode}`;
            if (contains(place, other) || contains(other, place)) return [undefined, { view }, label];
            const outcome = performRename(view, place, other, mode, IS_HOST_ROOT);
            return [attempt(() => move(fs, place, other, mode)), outcome, label];
          };
        }
      });
      assert.isAbove(succeeded, STEPS / 4);
    });
  }
});

function at(...path: string[]): Place {
  return { directory: path.slice(0, -1), name: path.at(-1) ?? '' };
}

/** A name of the view, or one that could be there, at any depth. */
function choose(random: Random, view: Seen, held: readonly Held[]): Place {
  let [{ directory, name }] = random.pick(held);
  for (;;) {
    const seen = descend(view, [...directory, name]);
    if (seen?.kind !== 'directory' || random.below(2) === 0) return { directory, name };
    directory = [...directory, name];
    name = random.pick([...Object.keys(seen.children), 'common', 'sub', 'own1', 'n0']);
  }
}

/** Whether one path is the other or lies below it; the kernel refuses such renames. */
function contains(outer: Place, inner: Place): boolean {
  return `${pathOf(inner).join('/')}/`.startsWith(`${pathOf(outer).join('/')}/`);
}
