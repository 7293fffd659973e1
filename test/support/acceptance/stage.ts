/**
 * The place where one test file works: directories for layers and mountpoints on the cache's filesystem
 * (overlayfs wants upper and work on one real filesystem), and the promise that none of it stays.
 */
import { mkdirSync, mkdtempSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { assert } from 'chai';
import { run } from '../run.js';
import { cacheDirectory, discard } from './cache.js';
import { currentMounts, daemonLog, type Layers } from './mount.js';
import { checksum, describeTree, diffTrees, type Tree } from './tree.js';

const SHOWN_DIFFERENCES = 40;

export class Stage {
  readonly #directory: string;
  readonly #mountpoints: string[] = [];

  constructor() {
    mkdirSync(cacheDirectory(), { recursive: true });
    this.#directory = realpathSync(mkdtempSync(join(cacheDirectory(), 'run-')));
  }

  /** An empty upper, work directory and mountpoint over `lower`. */
  layers(name: string, lower: readonly string[]): Layers {
    const make = (part: string) => this.#make(`${name}-${part}`);
    const layers = { lower, upper: make('upper'), work: make('work'), mountpoint: make('mount') };
    this.#mountpoints.push(layers.mountpoint);
    return layers;
  }

  /** Shows what daemons printed and removes everything; fails if something had been left mounted. */
  close(): void {
    for (const line of this.#mountpoints.flatMap(daemonLog)) console.warn(line);
    const inside = `${this.#directory}/`;
    const left = currentMounts().filter((entry) => entry.mountpoint.startsWith(inside));
    for (const { mountpoint } of left.reverse()) run('umount', ['--lazy', mountpoint]);
    run('rm', ['-rf', '--one-file-system', this.#directory]);
    if (left.length > 0) assert.fail(`left mounted: ${left.map((entry) => entry.mountpoint).join(', ')}`);
  }

  #make(name: string): string {
    const directory = join(this.#directory, name);
    mkdirSync(directory);
    return directory;
  }
}

/** Fails with the first differences between two trees. */
export function assertSameTree(actual: Tree, expected: Tree, message: string): void {
  const differences = diffTrees(actual, expected);
  if (differences.length === 0) return;
  const shown = differences.slice(0, SHOWN_DIFFERENCES).map((line) => `\n  ${line}`);
  assert.fail(`${message}: ${differences.length} differences (first != second):${shown.join('')}`);
}

/** Fails if a cached lower layer is not as `before` lists it, and takes it out of the cache. */
export function assertLowerUnchanged(name: string, directory: string, before: Tree): void {
  const now = describeTree(directory);
  if (checksum(now) !== checksum(before)) discard(name);
  assertSameTree(now, before, `the lower "${name}" after and before`);
}
