/**
 * Protects the rule "after the commit point there is no error" (`rules/execute.ts`): whichever system call of an
 * operation fails, the state is the one before and the operation says so, or the one after and it has succeeded; to who
 * goes on using the mount, to the next mount, and to kernel overlayfs. And whichever system call the server dies before,
 * the next mount shows one of the two, with all attributes and times of every entry, and kernel overlayfs agrees.
 *
 * Every plan of `rules/plan.ts` with every kind of entry that it can be about can be tried (`acts.ts`), and random histories;
 * in CI some of them, the same ones each time; UNIONFS_PROVE=N (`npm run prove`) tries N points in each test,
 * UNIONFS_SEED=S draws others.
 *
 * A directory whose names change may have the time of the change although the change was undone, or did not happen.
 */
import { mkdirSync } from 'node:fs';
import { assert } from 'chai';
import type { NodeId } from '../../fs/protocol/filesystem.js';
import { S } from '../../fs/sys/constants.js';
import { E, Errno, errnoName } from '../../fs/sys/errno.js';
import { mount, umount2 } from '../../fs/sys/syscalls.js';
import type { UnionFilesystem } from '../../fs/union/filesystem.js';
import { missingForFiles, requireConditions } from '../support/acceptance/conditions.js';
import { IS_HOST_ROOT } from '../support/privilege.js';
import { Random } from '../support/random.js';
import { everyScenario, type Scenario, writeScenario } from '../support/union/acts.js';
import { CALLER, Disk } from '../support/union/disk.js';
import { callsOf, dying, failing } from '../support/union/faults.js';
import { draw, type Operation, writeWorld } from '../support/union/history.js';
import { differences, type Lines, MISSING, shownAt, shownBy } from '../support/union/snapshot.js';

const SUITE = 'union/commit-point';
const ROOT = 1 as NodeId;
const { UNIONFS_PROVE, UNIONFS_SEED } = process.env;
const IS_PROOF = UNIONFS_PROVE !== undefined;
const SEED = Number(UNIONFS_SEED ?? 12);
/** How many points each test tries. */
const IN_CI = 200;
const POINTS = Number(UNIONFS_PROVE ?? IN_CI);
/** The last calls of an operation. */
const LATE = 6;
/** One scenario of so many is tried; fewer on uppers that are not root's. */
const SHARE = IS_PROOF ? 1 : 8;
const SHARE_OF_OTHERS = 4;
/** Of a random history, and how many system calls it makes at least. */
const OPERATIONS = 12;
const HISTORY_CALLS = 200;
/** How many wrong points are told. */
const TOLD = 10;
const CODES = [E.EIO, E.ENOSPC, E.EPERM];
/** What says EPERM says something: that there are no handles, and so no index; that a file is append-only. */
const TELLING = ['name_to_handle_at', 'openat'];
const codeFor = (call: string | undefined, random: Random): number =>
  TELLING.includes(call ?? '') ? E.EIO : random.pick(CODES);

/** The directories whose times follow the names in them. */
const isParent = (path: string): boolean => ['/', '/p', '/q'].includes(path);

/** What a scenario shows at first and at its end, and the system calls in between. */
interface Run {
  readonly kind: KindOfUpper;
  readonly scenario: Scenario;
  readonly before: Lines;
  readonly after: Lines;
  readonly calls: readonly string[];
}

/** How a union writes: as root of the host, or where that is refused. */
const KINDS_OF_UPPER = {
  plain: {},
  'with owners in attributes': { ownership: { keep: 'user' } },
  'with files as whiteouts': { whiteoutsAreFiles: true },
  'with no descriptor to spare': { descriptors: 16 },
} as const;
type KindOfUpper = keyof typeof KINDS_OF_UPPER;

function withDisk<T>(
  kind: KindOfUpper,
  write: (disk: Disk) => void,
  use: (disk: Disk, fs: UnionFilesystem) => T,
): T {
  const disk = new Disk('never', KINDS_OF_UPPER[kind]);
  const umask = process.umask(0);
  try {
    write(disk);
    const fs = disk.open();
    if (kind === 'with no descriptor to spare') useUp(fs);
    return use(disk, fs);
  } finally {
    disk.remove();
    process.umask(umask);
  }
}

/** Files that have lost their names and are still in use: of what loses its name now, no descriptor is kept. */
function useUp(fs: UnionFilesystem): void {
  for (let index = 0; index < KINDS_OF_UPPER['with no descriptor to spare'].descriptors; index++) {
    const name = `used${index}`;
    fs.create(CALLER, ROOT, name, { kind: 'node', mode: S.IFREG | 0o600, major: 0, minor: 0, umask: 0 });
    fs.unlink(ROOT, name);
  }
}

const withScenario = <T>(
  { kind, scenario }: Pick<Run, 'kind' | 'scenario'>,
  use: (disk: Disk, fs: UnionFilesystem) => T,
): T => withDisk(kind, (disk) => writeScenario(disk, scenario), use);

/** Runs a scenario without a fault; none if it is refused, as owners of what can carry no attribute are. */
function observe(kind: KindOfUpper, scenario: Scenario): Run[] {
  return withScenario({ kind, scenario }, (disk, fs) => {
    const before = shownBy(fs);
    let calls: string[] = [];
    const refused = outcome(() => {
      calls = callsOf(scenario.act(fs));
    });
    if (refused !== undefined && kind !== 'plain') return [];
    assert.isUndefined(refused, `${scenario.label}, without a fault, ${errnoName(refused ?? 0)}`);
    const after = shownBy(fs);
    assertSame(`${scenario.label}, without a fault, to the next mount`, disk.peek(shownBy), after);
    return [{ kind, scenario, before, after, calls }];
  });
}

function assertSame(when: string, shown: Lines, wanted: Lines, ignoreTimes = false): void {
  const found = differences(shown, wanted, ignoreTimes ? isParent : undefined);
  if (found.length > 0) assert.fail(`${when}:\n${found.join('\n')}`);
}

/** The errno that an action ends in, if any. */
function outcome(action: () => void): number | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    if (error instanceof Errno) return error.code;
    throw error;
  }
}

/** What kernel overlayfs shows on the layers. */
function kernelShows(disk: Disk): Lines {
  const [upper, ...lowers] = disk.layers;
  const mountpoint = disk.path('kernel');
  mkdirSync(mountpoint, { recursive: true });
  const options = `lowerdir=${lowers.join(':')},upperdir=${upper},workdir=${disk.path('work')},index=on,redirect_dir=on,xino=off`;
  mount('overlay', mountpoint, 'overlay', 0, options);
  try {
    const shown = shownAt(mountpoint);
    for (const [path, line] of shown) if (line === MISSING) shown.delete(path); // whiteouts in upper: ovl_iterate_real
    return shown;
  } finally {
    umount2(mountpoint);
  }
}

const lowersOf = (disk: Disk): Lines[] => disk.layers.slice(1).map((layer) => shownAt(layer, true));

function assertLowers(when: string, disk: Disk, before: readonly Lines[]): void {
  for (const [index, lines] of lowersOf(disk).entries())
    assertSame(`${when}, in a lower layer`, lines, before[index] ?? new Map());
}

/** A system call of a scenario. */
interface Point {
  readonly run: Run;
  readonly call: number;
}

/** Points of the runs; half of them among the last calls, where the operation comes true. */
const pointsOf = (runs: readonly Run[], random: Random): Point[] =>
  Array.from({ length: POINTS }, () => {
    const run = random.pick(runs);
    const { length } = run.calls;
    const late = Math.max(0, length - LATE);
    return { run, call: random.below(2) === 0 ? random.below(length) : late + random.below(length - late) };
  });

/** Tries all points; fails if one is wrong. */
function tryAll<T>(points: readonly T[], attempt: (point: T) => void): void {
  const wrong: string[] = [];
  for (const point of points) {
    try {
      attempt(point);
    } catch (error) {
      const isWrong = error instanceof Error && error.name === 'AssertionError';
      wrong.push(isWrong ? error.message : String((error as Error).stack));
    }
  }
  if (IS_PROOF) console.log(`${points.length} points, ${wrong.length} wrong`);
  if (wrong.length > 0)
    assert.fail(
      `${wrong.length} of ${points.length} points are wrong:\n${wrong.slice(0, TOLD).join('\n\n')}`,
    );
}

/** Without RENAME_WHITEOUT a rename that replaces is two. */
const isInSteps = ({ kind, scenario }: Run): boolean =>
  scenario.inSteps || (scenario.replaces && kind === 'with files as whiteouts');

/**
 * Whether a lasting fault leaves one of the two states: not if the second of two renames and its undoing fail, and a name in
 * work that cannot be removed yet counts as a link until it is.
 */
const mayLast = (run: Run): boolean =>
  run.kind !== 'with no descriptor to spare' && !(run.scenario.replaces && isInSteps(run));

/** How a fault goes on: not at all, for the same kind of call, for all calls. */
const LASTING = ['once', 'this call from then on', 'all calls from then on'] as const;

interface Fault {
  readonly code: number;
  readonly lasting: (typeof LASTING)[number];
}

function injectError({ run, call }: Point, { code, lasting }: Fault): void {
  const { scenario, before, after, calls } = run;
  const when = `${scenario.label}: ${errnoName(code)} at call ${call} (${calls[call]}) of ${calls.length}, ${lasting}`;
  withScenario(run, (disk, fs) => {
    const lowers = lowersOf(disk);
    if (call % 2 === 0) shownBy(fs); // what is known, and what is not
    const act = scenario.act(fs);
    const inWork = disk.leftovers();
    const only = lasting === 'this call from then on' ? calls[call] : undefined;
    const failed = outcome(() =>
      failing(call, code, act, lasting === 'once' ? 1 : Number.POSITIVE_INFINITY, only),
    );
    const said = `${when} says ${failed === undefined ? 'success' : errnoName(failed)}`;
    const shown = shownBy(fs);
    // Where no answer can be had, and nothing be undone, the error stands for either; it may be tried again all the same.
    const isLost = lasting !== 'once' && failed !== undefined;
    const isAfter = failed === undefined || (isLost && differences(shown, after, isParent).length === 0);
    const wanted = isAfter ? after : isLost && isInSteps(run) ? shown : before;
    assertSame(said, shown, wanted, true);
    if (failed !== undefined && lasting === 'once')
      assert.deepEqual(disk.leftovers(), inWork, `${said}, in work`);
    assertSame(`${said}, to the next mount`, disk.peek(shownBy), wanted, true);
    if (!isAfter) {
      const again = outcome(scenario.act(fs));
      assert.isUndefined(again, `${when}, and then, without a fault, ${errnoName(again ?? 0)}`);
      assertSame(`${when}, and again without a fault`, shownBy(fs), after, isLost);
    }
    assertLowers(when, disk, lowers);
    assertSame(`${when}, at the end to the next mount`, shownBy(disk.open()), after, true);
    assert.isEmpty(disk.leftovers(), when);
  });
}

function die({ run, call }: Point): void {
  const { kind, scenario, before, after, calls } = run;
  const when = `${scenario.label}: death before call ${call} (${calls[call]}) of ${calls.length}`;
  withScenario(run, (disk, fs) => {
    const lowers = lowersOf(disk);
    const act = scenario.act(fs);
    assert.isTrue(dying(call, act), when);
    const shown = shownBy(disk.open());
    const isBefore = differences(shown, before, isParent).length === 0;
    if (!isBefore && !isInSteps(run)) assertSame(when, shown, after, true);
    assert.isEmpty(disk.leftovers(), when);
    assertLowers(when, disk, lowers);
    if (!IS_HOST_ROOT || kind !== 'plain' || !scenario.isKernels) return;
    disk.close();
    assertSame(`${when}, and kernel overlayfs`, kernelShows(disk), shown);
  });
}

// --- histories

/** What a history shows after each operation that succeeds, and the system calls of each. */
interface History {
  readonly seed: number;
  readonly operations: readonly Operation[];
  readonly states: readonly Lines[];
  readonly calls: readonly (readonly string[])[];
}

function live(seed: number): History {
  const random = new Random(seed);
  return withDisk('plain', writeWorld, (disk, fs) => {
    const operations: Operation[] = [];
    const states = [disk.peek(shownBy)];
    const calls: string[][] = [];
    while (operations.length < OPERATIONS) {
      const operation = draw(random);
      const act = operation.prepare(fs);
      if (act === null) continue;
      let made: string[] = [];
      const refused = outcome(() => {
        made = callsOf(act);
      });
      if (refused !== undefined) continue;
      operations.push(operation);
      calls.push(made);
      states.push(disk.peek(shownBy));
    }
    assertSame(`history ${seed}, without a fault`, shownBy(fs), states.at(-1) ?? new Map());
    return { seed, operations, states, calls };
  });
}

/** Lives a history until the system call number `call` of its operation number `at`. */
function dieIn({ seed, operations, states, calls }: History, at: number, call: number): void {
  const last = operations[at];
  if (last === undefined) throw new Error('no such operation');
  const when = `history ${seed}, operation ${at} (${last.label}): death before call ${call} (${calls[at]?.[call]})`;
  withDisk('plain', writeWorld, (disk, fs) => {
    const lowers = lowersOf(disk);
    for (const { prepare } of operations.slice(0, at)) prepare(fs)?.();
    const act = last.prepare(fs);
    if (act === null || !dying(call, act)) return; // what is known makes it shorter
    const shown = shownBy(disk.open());
    const [before, after] = [states[at] ?? new Map(), states[at + 1] ?? new Map()];
    const ignores = (path: string): boolean =>
      last.paths.some((name) => `/${name}/`.startsWith(path === '/' ? path : `${path}/`));
    if (differences(shown, before, ignores).length > 0) {
      const found = differences(shown, after, ignores);
      if (found.length > 0) assert.fail(`${when}:\n${found.join('\n')}`);
    }
    assert.isEmpty(disk.leftovers(), when);
    assertLowers(when, disk, lowers);
    if (!IS_HOST_ROOT) return;
    disk.close();
    assertSame(`${when}, and kernel overlayfs`, kernelShows(disk), shown);
    assertSame(`${when}, and after kernel overlayfs`, shownBy(disk.open()), shown);
  });
}

describe(SUITE, function () {
  this.timeout(IS_PROOF ? 0 : 120_000);
  const runs: Run[] = [];
  before(function () {
    requireConditions(this, SUITE, missingForFiles());
    const scenarios = everyScenario();
    for (const kind of Object.keys(KINDS_OF_UPPER) as KindOfUpper[]) {
      const share = kind === 'plain' ? SHARE : SHARE * SHARE_OF_OTHERS;
      const fitting = scenarios.filter(({ isRoots }) => kind === 'plain' || !isRoots);
      runs.push(
        ...fitting.filter((_, index) => index % share === 0).flatMap((scenario) => observe(kind, scenario)),
      );
    }
  });

  it('an error at any system call of any plan: the state before, or success and the state after', () => {
    const random = new Random(SEED);
    tryAll(pointsOf(runs, random), (point) => {
      const code = codeFor(point.run.calls[point.call], random);
      injectError(point, { code, lasting: mayLast(point.run) ? random.pick(LASTING) : 'once' });
    });
  });

  it('death before any system call of any plan: the state before or after, to the next mount and to the kernel', () => {
    tryAll(pointsOf(runs, new Random(SEED)), die);
  });

  it('death at any moment of random histories: the state before or after, to the next mount and to the kernel', () => {
    const histories = Array.from({ length: Math.ceil(POINTS / HISTORY_CALLS) }, (_, index) =>
      live(SEED + index),
    );
    const points = histories.flatMap((history) =>
      history.calls.flatMap((made, at) => made.map((_, call) => ({ history, at, call }))),
    );
    const random = new Random(SEED);
    const tried = Array.from({ length: POINTS }, () => random.pick(points));
    tryAll(tried, ({ history, at, call }) => dieIn(history, at, call));
  });
});
