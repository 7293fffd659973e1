/**
 * Layers on disk, for programs that read or write one without a union: images are unpacked into layers and packed from
 * them, containers keep owners as layers do.
 *
 * Rule: what a name, a mark or an attribute in a layer means is known in `union/layers` and `union/owners` alone; this
 * file only says what others may use of it. What a union shows is in `offline.ts`.
 */

// stacks and their names
export { extentsOf } from './union/layers/copy-data.js';
// owners, and attributes that users see
export { InodeSet } from './union/layers/inode-set.js';
// deletions and marks
export {
  keepsMarks,
  MARK_REFUSED,
  markOpaque,
  OVERLAY_PREFIXES,
  PRIVILEGED_PREFIX,
} from './union/layers/marks.js';
export { CONTAINERS_OVERRIDE, COPY_OVERRIDE, type OverrideXattr } from './union/layers/owner-xattrs.js';
export {
  absolute,
  defaultWork,
  directoryAt,
  recordedStack,
  splitLayers,
  workingDirectory,
} from './union/layers/stack.js';
export { below, pathOf, type Trail } from './union/layers/trail.js';
export { DOT_OPAQUE, DOT_WHITEOUT, isDotName, makeWhiteoutDevice } from './union/layers/whiteout.js';
export { removeTree } from './union/layers/work.js';
export { makeSymlinkFile } from './union/owners/create-overridden.js';
export { modeAfterChown, type Override, type Owner, parseIdRanges } from './union/owners/id-mapping.js';
export {
  canGiveAway,
  isInitialUserNamespace,
  isTrulyRoot,
  keepInCopy,
  linkTarget,
  record,
  recorded,
  recordInCopy,
} from './union/owners/stored-owners.js';
export { type Device, deviceName, ownerValue, parseOwnerValue } from './union/owners/virtual-owners.js';
export { escapeXattr, unescapeXattr } from './union/owners/xattr-names.js';
