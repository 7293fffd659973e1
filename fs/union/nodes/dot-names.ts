/**
 * `.wh.NAME` and `.wh..wh..opq` in upper, where a peer that may not make other whiteouts has written them.
 *
 * Rules: they mean what they mean in lower layers, and are never shown. A directory of upper is looked through for them
 * once, when something in it is asked for first; what is found is rewritten as this union writes deletions, so that plans
 * meet one form only. At every step the view stays as it is: the new mark is there before the old one goes, and the
 * directory keeps its times. What cannot be rewritten, or holds data, goes on being read. Compare fuse-overlayfs' create_whiteout and
 * delete_whiteout, which write and remove both forms.
 */
import { NAME_MAX } from '../../sys/constants.js';
import { E, Errno, unless } from '../../sys/errno.js';
import { isDirectory, isRegular, type Stat } from '../../sys/stat.js';
import { fstat, readDirectory, statat, unlinkat, utimensat } from '../../sys/syscalls.js';
import type { LayerDirectory } from '../layers/layer.js';
import { withOwnersRights } from '../layers/lend.js';
import { markHoldsWhiteoutFiles, markOpaque } from '../layers/marks.js';
import { DOT_OPAQUE, DOT_WHITEOUT, isDotName, makeWhiteoutDevice, namedBy } from '../layers/whiteout.js';
import type { Work } from '../layers/work.js';
import { finish } from '../rules/finish.js';
import type { Union } from './union.js';

/** Names that mean something. */
const isMark = (name: string): boolean =>
  isDotName(name) && (name === DOT_OPAQUE || namedBy(name) !== undefined);

/** Learns whether a directory of upper holds such names, and rewrites them if the union may write. */
export function rewriteDotNames(union: Union, directory: LayerDirectory): void {
  if (directory.holdsDotNames !== undefined) return;
  const fd = union.handles.directory(directory);
  // One that may not be listed is looked at name by name: asking must not change it.
  const names = unless([E.EBADF], () => readDirectory(fd).map(({ name }) => name));
  directory.holdsDotNames = names === undefined || rewriteAll(union, directory, names.filter(isMark)) > 0;
}

/**
 * Before a name in upper goes to something that lower layers show through: a mark beside it would cut it off from them.
 * @throws Errno where that mark is there to stay
 */
export function requireNoDotName(union: Union, directory: LayerDirectory | undefined, name: string): void {
  if (directory === undefined) return;
  rewriteDotNames(union, directory);
  const mark = DOT_WHITEOUT + name;
  const isThere = (): boolean => statat(union.handles.directory(directory), mark) !== undefined;
  if (directory.holdsDotNames === false || mark.length > NAME_MAX || !isThere()) return;
  rewriteAll(union, directory, [mark]);
  if (isThere()) throw new Errno(E.EIO, 'rewriting a whiteout');
}

/** How many of the names stay as they are. */
function rewriteAll(union: Union, directory: LayerDirectory, names: readonly string[]): number {
  const { work } = union;
  if (work === undefined || names.length === 0) return names.length;
  const dirfd = union.handles.directory(directory);
  const isRoot = directory.parent === undefined;
  let left = names.length;
  finish('rewriting whiteouts of another program', () => {
    const before = fstat(dirfd);
    withOwnersRights([{ dirfd, name: '' }], () => {
      left = names.filter((name) => !rewrite(work, dirfd, name, isRoot)).length;
    });
    keepTimes(dirfd, before);
  });
  return left;
}

/** A root hides nothing (`merge` never asks it), and its mark may have another meaning. Whether it was rewritten. */
function rewrite(work: Work, dirfd: number, name: string, isRoot: boolean): boolean {
  const stat = statat(dirfd, name);
  if (stat === undefined || isDirectory(stat.mode) || (isRegular(stat.mode) && stat.size > 0)) return false;
  const hidden = namedBy(name);
  if (hidden !== undefined) cover(work, dirfd, hidden);
  else if (!isRoot) markOpaque(work.xattrPrefix, dirfd, '');
  unlinkat(dirfd, name);
  return true;
}

/** Hides the entries below a name; a file hides them without a mark. */
function cover(work: Work, dirfd: number, name: string): void {
  const stat = statat(dirfd, name);
  if (stat !== undefined) {
    if (isDirectory(stat.mode)) markOpaque(work.xattrPrefix, dirfd, name);
  } else if (work.whiteoutForm === 'device') makeWhiteoutDevice(dirfd, name);
  else {
    const staged = work.temporary();
    markHoldsWhiteoutFiles(work.xattrPrefix, dirfd);
    work.makeWhiteout(staged);
    work.install(staged, dirfd, name, true);
  }
}

function keepTimes(dirfd: number, { atime, mtime }: Stat): void {
  unless([E.EPERM], () => utimensat(dirfd, '', atime, mtime));
}
