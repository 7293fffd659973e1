// Rule: a site is a file system with the same tree and archive on it, made once; each session then
// gets a fresh upper and work directory, because a used one is a different thing to mount.

import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './command.js';
import type { Stack } from './peers.js';
import type { SiteName } from './samples.js';
import { LAYERS, TREE_NAME, type TreePlan, writeTree } from './tree.js';

const TMPFS_MAGIC = 0x0102_1994;
const TMPFS_MIN_BYTES = 4 * 2 ** 30;
/** Two layers, the archive and an upper, with as much again for block rounding. */
const TMPFS_BYTES_PER_TREE_BYTE = 6;
/** Page cache, dentries and inodes (compare Documentation/admin-guide/sysctl/vm.rst). */
const DROP_EVERYTHING = '3';

export interface Site {
  readonly name: SiteName;
  readonly root: string;
  readonly lowers: readonly string[];
  readonly archive: string;
}

function prepareRoot(name: SiteName, root: string, treeBytes: number): void {
  mkdirSync(root);
  if (name === 'tmpfs') {
    const size = Math.max(TMPFS_MIN_BYTES, TMPFS_BYTES_PER_TREE_BYTE * treeBytes);
    run(['mount', '-t', 'tmpfs', '-o', `size=${size},mode=700`, 'tmpfs', root]);
  } else if (statfsSync(root).type === TMPFS_MAGIC) {
    throw new Error(`"${tmpdir()}" is a tmpfs, not a disk: set TMPDIR to a directory on one`);
  }
}

export function createSite(name: SiteName, scratch: string, plan: TreePlan): Site {
  const root = join(scratch, name);
  prepareRoot(name, root, plan.facts.bytes);
  const lowers = LAYERS.map((layer) => join(root, layer));
  for (const lower of lowers) mkdirSync(lower);
  return { name, root, lowers, archive: join(root, 'tree.tar') };
}

/** Separate from createSite, so that a peer which cannot mount here is found before the long part. */
export function fillSite(site: Site, plan: TreePlan): void {
  for (const layer of LAYERS) writeTree(plan, join(site.root, layer), layer);
  const merged = join(site.root, 'merged');
  mkdirSync(merged);
  writeTree(plan, merged, 'merged');
  run(['tar', 'cf', site.archive, '-C', merged, TREE_NAME]);
  rmSync(merged, { recursive: true });
}

export function createStack(site: Site): Stack {
  const root = join(site.root, 'stack');
  const stack: Stack = {
    lowers: site.lowers,
    upper: join(root, 'upper'),
    work: join(root, 'work'),
    mountPoint: join(root, 'mount'),
  };
  for (const path of [root, stack.upper, stack.work, stack.mountPoint]) mkdirSync(path);
  return stack;
}

/** Only for a stack that is no longer mounted. */
export function removeStack(site: Site): void {
  rmSync(join(site.root, 'stack'), { recursive: true });
}

/** Leaves nothing to be written back during the session; nothing cached either, if it starts cold. */
export function settleSite(site: Site, cold: boolean): void {
  if (site.name !== 'disk') return; // A tmpfs is its own cache.
  run(['sync']);
  if (cold) writeFileSync('/proc/sys/vm/drop_caches', DROP_EVERYTHING);
}
