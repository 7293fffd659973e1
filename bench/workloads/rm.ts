// Rule: the cost of removing. What was unpacked lives in the upper only and just goes; what lies in a
// lower layer needs a whiteout for each name until its directory is gone too.

import type { Step } from './index.js';
import { expectGone, LOWER_TREE, UNPACKED } from './steps.js';

export const rm: readonly Step[] = [
  { row: 'rm -rf, unpacked tree', script: `rm -rf ${UNPACKED}` },
  expectGone(UNPACKED),
  { row: 'rm -rf, lower tree', script: `rm -rf ${LOWER_TREE}` },
  expectGone(LOWER_TREE),
];
