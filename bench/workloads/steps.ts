// Rule: cold is the first pass over a fresh mount, warm the pass after two identical ones.

import { TREE_NAME, type TreeFacts } from '../tree.js';
import type { Step } from './index.js';

/** Where untar unpacks, so that the unpacked tree is $UNPACKED/TREE_NAME. */
export const UNPACKED = '"$MOUNT/unpacked"';
/** The tree of the lower layers as the client sees it. */
export const LOWER_TREE = `"$MOUNT/${TREE_NAME}"`;

export function coldAndWarm(name: string, script: string): readonly Step[] {
  return [{ row: `${name}, cold`, script }, { script }, { row: `${name}, warm`, script }];
}

export function expectTree(path: string): Step {
  const count = '/^f/ { files++; bytes += $2 } /^d/ { directories++ }';
  const print = 'END { printf "%d files, %d directories, %.0f bytes", files, directories, bytes }';
  return {
    script: `find ${path} -printf '%y %s\\n' | awk '${count} ${print}'`,
    expect: (tree: TreeFacts) => `${tree.files} files, ${tree.directories} directories, ${tree.bytes} bytes`,
  };
}

/** Gone from the listing too: a name that only fails to stat would still break the next rmdir. */
export function expectGone(path: string): Step {
  return {
    script: `ls -A "$(dirname ${path})" | grep -Fxc "$(basename ${path})" || true`,
    expect: () => '0',
  };
}
