// Rule: the cost of seeing every name and every size; no file is opened.

import { coldAndWarm, expectTree, LOWER_TREE } from './steps.js';

export const find = [
  ...coldAndWarm('find -printf %s', 'find "$MOUNT" -printf %s >/dev/null'),
  expectTree(LOWER_TREE),
];
