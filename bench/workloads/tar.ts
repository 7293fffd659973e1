// Rule: the cost of reading every byte. The pipe is there because GNU tar does not read the files
// when its output is /dev/null.

import { TREE_NAME } from '../tree.js';
import { coldAndWarm, expectTree, LOWER_TREE } from './steps.js';

export const tar = [
  ...coldAndWarm('tar everything', `tar cf - -C "$MOUNT" ${TREE_NAME} | cat >/dev/null`),
  expectTree(LOWER_TREE),
];
