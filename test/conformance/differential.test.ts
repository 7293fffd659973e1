/**
 * Protects the semantics as a whole: whatever sequence of operations on whatever layers, the union gives what kernel
 * overlayfs gives on the same layers and what a plain directory with the same content gives: results, errors, trees,
 * trees after a remount, and the tree that the kernel shows on the layers we wrote.
 *
 * `npm run prove` tries 10,000 others; UNIONFS_PROVE=N tries N, UNIONFS_SEED=S draws them otherwise.
 *
 * The view must also be the one that the pure rules give for the layers as they lie on disk.
 *
 * Deliberate differences, so not asked: a `.wh.` name or a 0/0 device cannot be created; a descriptor that was opened
 * for reading before a copy-up sees the new data (the plain directory is the oracle, the kernel's stays stale);
 * removing an ACL that is not there succeeds (as on a plain directory; the kernel's union refuses it);
 * holes stay holes at a file's end too; birth times. Without the host's root, a directory of a lower layer that is renamed
 * over a full one gives ENOTEMPTY, as on a plain directory, and on the kernel's union EXDEV; and two names of one file have
 * one inode number, as there, which the kernel's union without an index does not always give.
 */
import { join } from 'node:path';
import { assert } from 'chai';
import { SingleBar } from 'cli-progress';
import fc from 'fast-check';
import { mountKernel, umountKernel, withKernel } from '../support/acceptance/mount.js';
import { describeTree, diffTrees, maskTimesSince, type Tree } from '../support/acceptance/tree.js';
import type { Client } from '../support/mount/client.js';
import { type Place, type Union, usePlace } from '../support/mount/place.js';
import { IS_HOST_ROOT } from '../support/privilege.js';
import { run } from '../support/run.js';
import { BUILD, PERFORM } from './perform.js';
import { type Batch, batches, NOT_AS_THE_KERNEL, type Scenario } from './scenario.js';
import { differencesFromRules } from './view.js';

const SUITE = 'differential';
const IN_CI = 300;
/** The same scenarios each time: what `npm run prove` finds becomes a test, not a surprise. */
const SEED_IN_CI = 5;
const BATCH = 25;
const PROGRESS_MS = 30_000;
/** The share of operations that must succeed somewhere. */
const LEAST_SUCCESS = 0.2;
const NS_PER_MS = 1_000_000n;
/** The kernel dates files by a clock that may be a tick behind. */
const CLOCK_GRAIN_MS = 20;
const TIMEOUT_MS_PER_BATCH = 30_000;

let performed = 0;
let succeeded = 0;

describe(SUITE, () => {
  const place = usePlace(SUITE);
  const { UNIONFS_PROVE, UNIONFS_SEED } = process.env;
  const wanted = Number(UNIONFS_PROVE ?? IN_CI);
  const seed = Number(UNIONFS_SEED ?? SEED_IN_CI);
  const numRuns = Math.ceil(wanted / (BATCH / 2)); // a batch is half full on average
  let tried = 0;
  let scenarios = 0;

  it(`agrees with kernel overlayfs and with a plain directory in ${wanted} scenarios (seed ${seed})`, async function () {
    this.timeout(numRuns * TIMEOUT_MS_PER_BATCH);
    const progress = new SingleBar({
      format: '{bar} {value} of {total} batches, {duration} s, {eta} s left',
      noTTYOutput: true,
      notTTYSchedule: PROGRESS_MS,
    });
    if (UNIONFS_PROVE !== undefined) progress.start(numRuns, 0);
    const property = fc.asyncProperty(batches(BATCH), async (batch) => {
      place.watch();
      await compare(place, `batch${tried++}`, batch);
      progress.increment();
      scenarios += batch.scenarios.length;
    });
    try {
      await fc.assert(property, { seed, numRuns });
    } finally {
      progress.stop();
    }
    if (UNIONFS_PROVE !== undefined)
      console.log(`${scenarios} scenarios, ${succeeded} of ${performed} operations succeeded`);
    assert.isAbove(
      succeeded / performed,
      LEAST_SUCCESS,
      'most operations fail: the scenarios try too little',
    );
  });
});

/** Three systems that must agree, and where each shows a scenario. */
const SYSTEMS = ['ours', 'kernel', 'plain'] as const;
type Systems = Readonly<Record<(typeof SYSTEMS)[number], string>>;

const directoryOf = (index: number): string => `s${index}`;

async function compare(place: Place, name: string, batch: Batch): Promise<void> {
  const client = place.client();
  try {
    await client.run([BUILD, PERFORM]);
    await compareOn(place, name, batch, client);
  } finally {
    await client.end();
    place.detachBelow(place.path(name));
    run('rm', ['-rf', '--one-file-system', place.path(name)]);
  }
}

async function compareOn(place: Place, name: string, batch: Batch, client: Client): Promise<void> {
  const start = BigInt(Date.now() - CLOCK_GRAIN_MS) * NS_PER_MS;
  const lowers = Array.from({ length: batch.lowers }, () => ({}));
  const ours = place.layers(`${name}/ours`, { lowers });
  const theirs = place.layers(`${name}/kernel`, { lowers });
  const kernelWork = place.path(name, 'kernel', 'work');
  place.make({ [`${name}/kernel/work`]: {}, [`${name}/plain`]: {} });
  await build(client, ours.lowers, batch, batch.allForms);
  await build(client, theirs.lowers, batch, false);
  const kernel = { ...theirs, lower: theirs.lowers, work: kernelWork };
  ours.mount();
  mountKernel(kernel);
  const systems = { ours: ours.mountpoint, kernel: theirs.mountpoint, plain: place.path(name, 'plain') };
  run('cp', ['-a', `${systems.kernel}/.`, systems.plain]);
  assertRules(ours, assertSame(systems, 'before', start));
  for (const [index, scenario] of batch.scenarios.entries()) await perform(client, systems, index, scenario);
  const before = assertSame(systems, 'after', start);
  assertRules(ours, before);
  ours.remount();
  umountKernel(systems.kernel);
  mountKernel(kernel);
  const after = assertSame(systems, 'after a remount', start);
  assertNone(diffTrees(before, after), 'before and after a remount');
  ours.umount();
  if (batch.allForms) return;
  const shown = withKernel({ ...ours, lower: ours.lowers }, describeTree);
  assertNone(fromKernel(diffTrees(before, shown)), 'on our layers, the kernel shows');
}

async function build(client: Client, roots: readonly string[], batch: Batch, forms: boolean): Promise<void> {
  for (const [index, { layers }] of batch.scenarios.entries()) {
    const paths = roots.map((root) => join(root, directoryOf(index)));
    for (const [layer, at] of [...paths.entries()].reverse()) {
      const below = paths.slice(layer + 1);
      await client.run('build(at, entries, forms, below)', {
        at,
        entries: layers[layer] ?? [],
        forms,
        below,
      });
    }
  }
}

async function perform(client: Client, systems: Systems, index: number, scenario: Scenario): Promise<void> {
  const { operations } = scenario;
  const results: Partial<Record<keyof Systems, unknown[]>> = {};
  for (const system of SYSTEMS) {
    const at = join(systems[system], directoryOf(index));
    const refused = system === 'plain' ? refusedMoves(results.ours ?? []) : [];
    results[system] = await client.run('result = perform(at, operations, refused)', {
      at,
      operations,
      refused,
    });
  }
  for (const result of results.plain ?? []) {
    performed++;
    if (typeof result !== 'string' || result === 'ok') succeeded++;
  }
  const told = (system: keyof Systems) => label(operations, results[system]);
  const kernel = (results.kernel ?? []).map((result, at) =>
    !IS_HOST_ROOT && result === 'EXDEV' && results.ours?.[at] === 'ENOTEMPTY' ? 'ENOTEMPTY' : result,
  );
  const fresh = (lines: string[]) =>
    lines.filter((_, at) => !NOT_AS_THE_KERNEL.has(operations[at]?.call ?? ''));
  const ours = told('ours');
  assertNone(differences(ours, told('plain')), `${directoryOf(index)}: the plain directory`);
  assertNone(
    differences(fresh(ours), fresh(label(operations, kernel))),
    `${directoryOf(index)}: kernel overlayfs`,
  );
}

/** Directories of lower layers that are not renamed without the host's root; the kernel must say so, too. */
function refusedMoves(results: readonly unknown[]): number[] {
  if (IS_HOST_ROOT) return [];
  return [...results.keys()].filter((at) => results[at] === 'EXDEV');
}

/** Each operation with its result, to be read where they differ. */
function label(operations: Scenario['operations'], results: readonly unknown[] = []): string[] {
  return results.map((result, index) => {
    const { call, arguments: given, uid } = operations[index] ?? assert.fail('a result without an operation');
    return `${call}(${given.map((value) => JSON.stringify(value)).join(', ')}) as ${uid} = ${JSON.stringify(result)}`;
  });
}

/** The mount shows what the pure rules make of its layers. */
function assertRules(union: Union, tree: Tree): void {
  assertNone(differencesFromRules(tree, [union.upper, ...union.lowers], true), 'the pure rules');
}

/** Differences from the kernel's tree that count. */
const fromKernel = (lines: readonly string[]): string[] =>
  lines.filter((line) => IS_HOST_ROOT || !line.includes(': same file as: '));

/** The union's tree, which the others' must be equal to. */
function assertSame(systems: Systems, when: string, start: bigint): Tree {
  const tree = describeTree(systems.ours);
  const ours = maskTimesSince(tree, start);
  const theirs = (root: string): Tree => maskTimesSince(describeTree(root), start);
  assertNone(fromKernel(diffTrees(ours, theirs(systems.kernel))), `${when}: kernel overlayfs`);
  assertNone(diffTrees(ours, theirs(systems.plain)), `${when}: the plain directory`);
  return tree;
}

const differences = (ours: readonly string[], others: readonly string[]): string[] =>
  ours.flatMap((line, index) => (line === others[index] ? [] : [`${line} there ${others[index]}`]));

function assertNone(lines: readonly string[], what: string): void {
  if (lines.length > 0) assert.fail(`${what}:\n${lines.join('\n')}`);
}
