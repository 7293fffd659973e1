/**
 * Regular files of lower directories that could not be watched (inotify(7): watches and memory run out).
 *
 * Rule: the kernel drops a file's pages when it is told to (FUSE_EXPLICIT_INVAL_DATA holds for the whole mount), not when
 * attributes change; a new size beside old pages reads as old bytes and zeros. Where nothing reports changes, the ctime
 * tells at the next look: who finds the name gets another inode, which has no pages; who holds the old one is shown
 * the new size only after its pages are gone. Compare fuse_change_attributes and fuse_dentry_revalidate in fs/fuse.
 */
import { E, Errno } from '../../sys/errno.js';
import type { Stat, Time } from '../../sys/stat.js';
import type { FileNode, Seen } from './node.js';
import type { Trust } from './trust.js';
import type { Union } from './union.js';

/** Filesystems take times from a clock that ticks this often (CONFIG_HZ), before Linux 6.13 all of them. */
const TICK_MS = 20;

const inMilliseconds = ({ seconds, nanoseconds }: Time): number => seconds * 1e3 + nanoseconds / 1e6;

const seenIn = ({ ctime, size, mtime }: Stat): Seen => ({
  ctime: Date.now() - inMilliseconds(ctime) > TICK_MS ? ctime : undefined,
  size,
  mtime,
});

const isSame = (a: Time | undefined, b: Time): boolean =>
  a?.seconds === b.seconds && a.nanoseconds === b.nanoseconds;

/** With timeouts for the whole mount the kernel compares mtimes itself (FUSE_AUTO_INVAL_DATA). */
const kernelNotices = ({ isTimed }: Trust, seen: Seen, { size, mtime }: Stat): boolean =>
  isTimed && (size !== seen.size || !isSame(seen.mtime, mtime));

/** Whether only a look tells that the file has changed. */
export function isUnwatched(union: Union, node: FileNode): boolean {
  if (union.watcher === undefined || node.inUpper || !node.isRegular) return false;
  if (node.seen !== undefined) return true; // it may have no name any more
  const parent = node.links[0]?.parent;
  return parent !== undefined && !union.trust.holds(parent);
}

/** Whether a file is another than the kernel was told. */
export function hasChanged({ seen, inUpper }: FileNode, { ctime }: Stat): boolean {
  return seen !== undefined && !inUpper && !isSame(seen.ctime, ctime);
}

/** The kernel is about to be told this of a node that is new to it, or has not changed. */
export function remember(node: FileNode, stat: Stat): void {
  if (node.seen?.notification === undefined) node.seen = seenIn(stat);
}

/** What the kernel may be told of a node that it holds: the old size until its pages are gone. Whether that is so for now. */
export function showChange(union: Union, node: FileNode, stat: Stat): boolean {
  if (stat.ino !== node.layerIno || stat.dev !== node.dev) throw new Errno(E.ESTALE); // another file has its name
  const { trust, watcher } = union;
  const { seen = seenIn(stat) } = node;
  if (hasChanged(node, stat) && !kernelNotices(trust, seen, stat)) {
    node.seen = { ...seenIn(stat), size: seen.size, notification: watcher?.forgetInode(node) ?? 0 };
  } else if (seen.notification === undefined || watcher?.isForgotten(seen.notification) !== false) {
    node.seen = seenIn(stat);
    return false;
  }
  stat.size = seen.size;
  return true;
}
