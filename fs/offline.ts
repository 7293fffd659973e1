/**
 * What a union shows, entry by entry, for programs that read it without a mount (`viewOf` in `index.ts` opens one).
 *
 * Rule: nothing here changes a layer. What is asked for is found by the same lookup and rules as in a mount.
 */
export { find, statOf } from './union/nodes/lookup.js';
export { DirectoryNode, type FileNode, type Node } from './union/nodes/node.js';
export { layerOf, locate, recordedOf } from './union/nodes/place.js';
export type { Union } from './union/nodes/union.js';
export { Comparison } from './union/offline/difference.js';
export { hasSameData } from './union/offline/same-data.js';
export { attributesOf, PlainTree, type TreeEntry } from './union/offline/trees.js';
export { walk } from './union/offline/view.js';
export { copyFileData, kindOf } from './union/owners/copy-entry.js';
