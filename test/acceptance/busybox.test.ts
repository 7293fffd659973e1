/**
 * Protects the union's two promises on a small root: what programs in a chroot do to it comes out as the
 * kernel's overlayfs would do it, and its layers are the kernel's layers, readable there and from there.
 *
 *     script on our mount    -> upper A, seen by us = A seen by the kernel = A seen by us again
 *     script on the kernel's -> upper B, seen by the kernel = B seen by us; and A is B but for the time
 */
import { assert } from 'chai';
import { changeAttributes, SCRIPT } from '../support/acceptance/busybox-script.js';
import { runInRoot } from '../support/acceptance/chroot.js';
import { missingForMounts, requireConditions } from '../support/acceptance/conditions.js';
import { type Layers, withKernel, withUnion } from '../support/acceptance/mount.js';
import { BUSYBOX_PATCH, BUSYBOX_ROOT, busyboxPatch, busyboxRoot } from '../support/acceptance/roots.js';
import { assertLowerUnchanged, assertSameTree, Stage } from '../support/acceptance/stage.js';
import { describeTree, maskTimesSince, type Tree } from '../support/acceptance/tree.js';

const SUITE = 'acceptance: a busybox root';
const NS_PER_MS = 1_000_000n;
const CLOCK_SLACK_MS = 1000n; // file times come from a coarser clock
const TIMEOUT_MS = 300_000;

interface Lower {
  /** Its name in the cache. */
  readonly name: string;
  readonly directory: string;
  readonly tree: Tree;
}

interface Outcome {
  readonly layers: Layers;
  readonly tree: Tree;
  /** Nothing before the run is younger than this, in ns. */
  readonly start: bigint;
}

describe(SUITE, function () {
  this.timeout(TIMEOUT_MS);
  let stage: Stage | undefined;
  let lower: readonly Lower[];
  let finished: Outcome | undefined;
  let kernels: Outcome;

  before(function () {
    requireConditions(this, SUITE, missingForMounts(['busybox']));
    lower = [lowerLayer(BUSYBOX_PATCH, busyboxPatch()), lowerLayer(BUSYBOX_ROOT, busyboxRoot())];
    stage = new Stage();
    kernels = work(stage.layers('kernel', directories(lower)), withKernel);
  });

  after(() => stage?.close());

  it('lets a chroot work on the mount', () => {
    assert(stage);
    finished = work(stage.layers('ours', directories(lower)), withUnion);
  });

  const ours = () => finished ?? assert.fail('the script did not run to its end on our mount');

  it('has the tree that the script makes on kernel overlayfs', () => {
    assertSameTree(
      timeless(ours()),
      timeless(kernels),
      'the script on our mount and on the kernel overlayfs',
    );
  });

  it('writes an upper in which kernel overlayfs shows the same tree', () => {
    const seen = withKernel(ours().layers, describeTree);
    assertSameTree(ours().tree, seen, 'our upper on our mount and on kernel overlayfs');
  });

  it('shows the same tree after a remount', () => {
    assertSameTree(
      ours().tree,
      withUnion(ours().layers, describeTree),
      'our upper before and after a remount',
    );
  });

  it('shows the upper that kernel overlayfs wrote as kernel overlayfs does', () => {
    const seen = withUnion(kernels.layers, describeTree);
    assertSameTree(seen, kernels.tree, "the kernel's upper on our mount and on kernel overlayfs");
  });

  it('leaves the lower layers unchanged', () => {
    for (const { name, directory, tree } of lower) assertLowerUnchanged(name, directory, tree);
  });
});

function work(layers: Layers, mounted: typeof withUnion): Outcome {
  const start = (BigInt(Date.now()) - CLOCK_SLACK_MS) * NS_PER_MS;
  const tree = mounted(layers, (root) => {
    runInRoot(root, SCRIPT);
    changeAttributes(root);
    return describeTree(root);
  });
  return { layers, tree, start };
}

function lowerLayer(name: string, directory: string): Lower {
  return { name, directory, tree: describeTree(directory) };
}

function directories(lower: readonly Lower[]): string[] {
  return lower.map((layer) => layer.directory);
}

function timeless(outcome: Outcome): Tree {
  return maskTimesSince(outcome.tree, outcome.start);
}
