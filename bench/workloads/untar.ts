// Rule: the cost of making a tree, file by file, with owner, mode and times, in a new directory. The
// archive is in the page cache beforehand, so that the disk's reading is not measured.

import { TREE_NAME } from '../tree.js';
import type { Step } from './index.js';
import { expectTree, LOWER_TREE, UNPACKED } from './steps.js';

export const untar: readonly Step[] = [
  { script: `mkdir ${UNPACKED} && cat "$ARCHIVE" >/dev/null` },
  { row: 'untar', script: `tar xf "$ARCHIVE" -C ${UNPACKED}` },
  expectTree(`${UNPACKED}/${TREE_NAME}`),
  expectTree(LOWER_TREE),
];
