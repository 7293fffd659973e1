// Rule: the tree is a function of the number of files alone. It is planned as the client shall see it,
// then each layer gets its share: a directory is in one layer or merged from both, and of the files in
// merged directories a few lie in both, where the top one hides the other.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { integerBelow, noise, normal, type Random, seededRandom } from './random.js';

/** The directory everything lies in, in each layer and in the archive. */
export const TREE_NAME = 'tree';

const SEED = 20_240_817;
/** 16,000 files: 1,500 directories and 360 MB. */
const FILES_PER_DIRECTORY = 16_000 / 1_500;
const MEAN_FILE_BYTES = 360_000_000 / 16_000;
/** Sizes are log-normal as in a source tree or an image: most files small, most bytes in few files. */
const SIZE_SIGMA = 1.9;
const LARGEST_TO_MEDIAN = 1_000;
const MAX_DEPTH = 8;
/** Shares of what lies in merged directories; the rest is divided evenly between the layers. */
const MERGED_DIRECTORIES = 0.5;
const SHADOWED_FILES = 0.05;

export const LAYERS = ['top', 'bottom'] as const;
export type Layer = (typeof LAYERS)[number];

interface Entry {
  readonly path: string;
  readonly layers: readonly Layer[];
}

interface PlannedDirectory extends Entry {
  readonly depth: number;
}

interface PlannedFile extends Entry {
  readonly size: number;
}

/** What a client of the union must see below TREE_NAME, that directory included. */
export interface TreeFacts {
  readonly files: number;
  readonly directories: number;
  readonly bytes: number;
}

export interface TreePlan {
  readonly directories: readonly PlannedDirectory[];
  readonly files: readonly PlannedFile[];
  readonly facts: TreeFacts;
}

/** What lies in a directory of one layer is in that layer; in a merged one, in either or in both. */
function layersWithin(random: Random, parent: Entry, shareInBoth: number): readonly Layer[] {
  if (parent.layers.length < LAYERS.length || random() < shareInBoth) return parent.layers;
  return random() < 1 / 2 ? ['top'] : ['bottom'];
}

function pick<T>(random: Random, from: readonly T[]): T {
  const picked = from[integerBelow(random, from.length)];
  if (picked === undefined) throw new Error('Nothing to pick from');
  return picked;
}

function planDirectories(random: Random, count: number): readonly PlannedDirectory[] {
  const root: PlannedDirectory = { path: TREE_NAME, layers: LAYERS, depth: 0 };
  const directories = [root];
  const parents = [root];
  while (directories.length < count) {
    const parent = pick(random, parents);
    const directory: PlannedDirectory = {
      path: join(parent.path, `directory-${directories.length}`),
      layers: layersWithin(random, parent, MERGED_DIRECTORIES),
      depth: parent.depth + 1,
    };
    directories.push(directory);
    if (directory.depth < MAX_DEPTH) parents.push(directory);
  }
  return directories;
}

/** Drawn relative to the median, then scaled, so that the total is the same share of any tree. */
function planSizes(random: Random, count: number, bytes: number): readonly number[] {
  const drawn = Array.from({ length: count }, () =>
    Math.min(Math.exp(SIZE_SIGMA * normal(random)), LARGEST_TO_MEDIAN),
  );
  const scale = bytes / drawn.reduce((sum, size) => sum + size, 0);
  return drawn.map((size) => Math.round(size * scale));
}

/** @param totalBytes about how much all files hold together */
export function planTree(fileCount: number, totalBytes = fileCount * MEAN_FILE_BYTES): TreePlan {
  const random = seededRandom(SEED);
  const directories = planDirectories(random, Math.ceil(fileCount / FILES_PER_DIRECTORY));
  const sizes = planSizes(random, fileCount, totalBytes);
  const files = sizes.map((size, index): PlannedFile => {
    const parent = pick(random, directories);
    return {
      path: join(parent.path, `file-${index}.data`),
      layers: layersWithin(random, parent, SHADOWED_FILES),
      size,
    };
  });
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  return { directories, files, facts: { files: files.length, directories: directories.length, bytes } };
}

/** Writes what one layer holds, or with `merged` what the union of both shows. */
export function writeTree(plan: TreePlan, root: string, layer: Layer | 'merged'): void {
  const holds = (entry: Entry) => layer === 'merged' || entry.layers.includes(layer);
  const random = seededRandom(SEED);
  const largest = plan.files.reduce((size, file) => Math.max(size, file.size), 0);
  const content = noise(random, 2 * largest + 1);
  for (const directory of plan.directories) {
    if (holds(directory)) mkdirSync(join(root, directory.path));
  }
  for (const file of plan.files) {
    const start = integerBelow(random, largest);
    if (holds(file)) writeFileSync(join(root, file.path), content.subarray(start, start + file.size));
  }
}
