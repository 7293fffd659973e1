/**
 * Copy-up: an entry of a lower layer gets a full copy in upper before its first change.
 *
 * Rules: parents first; the copy is built in work and appears in upper by one rename, so that an interruption at any
 * instruction leaves the old or the new file; the node, its id and its inode number stay the same, so descriptors
 * and mappings opened before see the new data. What the node must know of its copy is asked before that rename: nothing
 * after it can fail. Compare ovl_copy_up_one in fs/overlayfs/copy_up.c.
 */
import { O, S } from '../../sys/constants.js';
import { E, Errno } from '../../sys/errno.js';
import { isAppendOnly, isDirectory, isProtected, isRegular, type Stat } from '../../sys/stat.js';
import { close, fstat, fsync, linkat, openat, setAppendOnly, statat, unlinkat } from '../../sys/syscalls.js';
import { LayerDirectory } from '../layers/layer.js';
import { withOwnersRights } from '../layers/lend.js';
import { encodeOrigin, markImpure, writeOrigin } from '../layers/origin.js';
import { NO_MASK } from '../nodes/credentials.js';
import type { LinkIndex } from '../nodes/link-index.js';
import type { DirectoryNode, FileNode, Home, Link } from '../nodes/node.js';
import { recordedOf } from '../nodes/place.js';
import type { Union } from '../nodes/union.js';
import {
  copyFileData,
  copyMode,
  copyOwner,
  copyTimes,
  copyXattrs,
  createEmpty,
  kindOf,
  type Source,
  setTimes,
} from '../owners/copy-entry.js';
import { recorded } from '../owners/stored-owners.js';
import { escapeXattr } from '../owners/xattr-names.js';
import { execute } from '../rules/execute.js';
import { finish } from '../rules/finish.js';
import { planCopyUp } from '../rules/plan.js';

/** Makes a directory, and those above it, exist in upper. */
export function copyUpDirectory(union: Union, node: DirectoryNode): LayerDirectory {
  if (node.upper !== undefined) return node.upper;
  union.writable();
  const missing: DirectoryNode[] = [];
  for (let at: DirectoryNode | undefined = node; at?.upper === undefined; at = at.parent) {
    if (at === undefined || at.removed) throw new Errno(E.ENOENT);
    missing.push(at);
  }
  for (const each of missing.reverse()) copyUpOne(union, each);
  return copyUpDirectory(union, node);
}

/** The same for a directory whose parent is in upper. */
function copyUpOne(union: Union, node: DirectoryNode): void {
  const { parent, name } = node;
  const into = parent?.upper;
  if (parent === undefined || into === undefined) throw new Errno(E.ENOENT);
  const dirfd = union.handles.directory(node.top);
  const stat = recordedOf(union, node, fstat(dirfd));
  const source = { directory: node.top, name: '', dirfd, stat, needed: 0 };
  run(union, source, { parent, directory: () => union.handles.directory(into), name });
  node.upper = new LayerDirectory(into.layer, into, name);
  node.upper.holdsDotNames = false;
  parent.listing?.add(name, S.IFDIR, node.ino);
}

/** Makes a non-directory exist in upper. */
export function copyUpFile(union: Union, node: FileNode): void {
  if (node.inUpper) return;
  const source = sourceOf(union, node);
  refuseFlags(source);
  copyUpSource(union, node, source);
}

/** The same for a file whose flags forbid changing it, so that they can be taken away. */
export function copyUpProtected(union: Union, node: FileNode): void {
  if (!node.inUpper) copyUpSource(union, node, sourceOf(union, node));
}

/**
 * Makes a regular file of a lower layer exist in upper as truncate(2) leaves it: no more data is copied than stays, and
 * the name that shows the copy makes the truncation true as well (ovl_copy_up_flags with O_TRUNC is not so strict).
 * @param permissions what its mode becomes
 * @returns whether it was so; not if nothing is cut off
 */
export function copyUpCut(union: Union, node: FileNode, size: number, permissions: number): boolean {
  const source = sourceOf(union, node);
  const { stat } = source;
  if (!isRegular(stat.mode) || size >= stat.size) return false;
  refuseFlags(source);
  const mode = (stat.mode & S.IFMT) | permissions;
  copyUpSource(union, node, { ...source, stat: { ...stat, mode }, needed: size, isCut: true });
  return true;
}

/**
 * The same for a file to which data is to be written at `offset`: one that is append-only takes what comes at its end, and
 * its copy stays so (ovl_copy_fileattr). The flag comes after the rename, which it would forbid.
 */
export function copyUpToWrite(union: Union, node: FileNode, offset: number): void {
  if (node.inUpper) return;
  const source = sourceOf(union, node);
  const { directory, stat } = source;
  const isKept = directory.layer.hasInodeFlags && isAppendOnly(stat);
  if (!isKept) refuseFlags(source);
  else if (offset !== Number(stat.size) || !union.writable().work.isPrivileged) throw new Errno(E.EPERM);
  copyUpSource(union, node, source);
  if (isKept) finish('append-only flag of a copy', () => keepAppendOnly(union, node));
}

function keepAppendOnly(union: Union, node: FileNode): void {
  setAppendOnly(union.handles.writer(node));
  union.handles.drop(node); // what is open may still write anywhere
}

function refuseFlags({ directory, stat }: Source): void {
  if (directory.layer.hasInodeFlags && isProtected(stat)) throw new Errno(E.EPERM);
}

function sourceOf(union: Union, node: FileNode): Source {
  union.writable();
  const [link] = node.links;
  if (link !== undefined) copyUpDirectory(union, link.parent); // before any descriptor is taken
  const { directory, name } = node.home;
  const dirfd = union.handles.directory(directory);
  const inode = statat(dirfd, name);
  if (inode === undefined) throw new Errno(E.ESTALE);
  const stat = recorded(directory.layer.override, { dirfd, name }, inode);
  return { directory, name, dirfd, stat, needed: Number.POSITIVE_INFINITY };
}

function copyUpSource(union: Union, node: FileNode, source: Source): void {
  const { stat, needed } = source;
  const [link] = node.links;
  if (link === undefined) copyUpOrphan(union, node, source);
  else if (stat.nlink > 1 && union.index !== undefined) copyUpIndexed(union, node, source, union.index, link);
  else copyUpLink(union, node, source, link);
  union.counters.copiedUpFiles++;
  union.counters.copiedUpBytes += Math.min(needed, Number(stat.size));
}

/** Makes one particular name of a non-directory exist in upper, not only the file. */
export function copyUpName(union: Union, node: FileNode, { parent, name }: Link): void {
  copyUpFile(union, node);
  const dirfd = union.handles.directory(copyUpDirectory(union, parent));
  if (statat(dirfd, name) !== undefined) return;
  if (node.index !== undefined && union.index !== undefined)
    linkIndexed(union, union.index, node, parent, name);
  else linkCopy(union, node, node.home, { parent, name });
}

/** Gives a copy in upper a further one of the names that its original has. */
function linkCopy(
  union: Union,
  node: FileNode,
  { directory, name: home }: Home,
  { parent, name }: Link,
): void {
  const dirfd = union.handles.directory(copyUpDirectory(union, parent));
  const before = fstat(dirfd);
  withOwnersRights([{ dirfd, name: '' }], () =>
    linkat(union.handles.directory(directory), home, dirfd, name),
  );
  keepTimes(union, parent, before);
  parent.listing?.add(name, node.type, node.ino);
}

function copyUpLink(union: Union, node: FileNode, source: Source, link: Link): void {
  const { parent, name } = link;
  const directory = (): number => union.handles.directory(copyUpDirectory(union, parent));
  const copy = run(union, source, { parent, directory, name });
  const home = { directory: copyUpDirectory(union, parent), name };
  // Without an index, the names that are known stay together; others keep the old file.
  const others = node.links.filter((other) => other !== link);
  if (others.length > 0) linkTogether(union, node, home, link, others, copy);
  moveToUpper(union, node, home, copy);
  for (const { parent: shows, name: shown } of [link, ...others])
    shows.listing?.add(shown, node.type, node.ino);
}

/** Links all names of a file to the copy that one of them has got, or undoes that one, too. */
function linkTogether(
  union: Union,
  node: FileNode,
  home: Home,
  first: Link,
  others: readonly Link[],
  { fd }: Copy,
): void {
  const made = [first];
  try {
    for (const other of others) {
      const dirfd = union.handles.directory(copyUpDirectory(union, other.parent));
      if (statat(dirfd, other.name) !== undefined) continue;
      linkCopy(union, node, home, other);
      made.push(other);
    }
  } catch (error) {
    if (fd >= 0) close(fd);
    for (const { parent, name } of made) finish('undoing a copy-up', () => removeCopy(union, parent, name));
    throw error;
  }
}

function removeCopy(union: Union, parent: DirectoryNode, name: string): void {
  const dirfd = union.handles.directory(copyUpDirectory(union, parent));
  const before = fstat(dirfd);
  withOwnersRights([{ dirfd, name: '' }], () => unlinkat(dirfd, name));
  keepTimes(union, parent, before);
  if (parent.listing !== undefined) parent.listing.stale = true;
}

/** A file with several names is copied into the index, and the name it was reached by becomes a link there. */
function copyUpIndexed(union: Union, node: FileNode, source: Source, index: LinkIndex, link: Link): void {
  const origin = encodeOrigin(source.directory.layer, source.dirfd, source.name);
  if (origin === undefined) {
    copyUpLink(union, node, source, link);
    return;
  }
  const name = index.nameOf(origin);
  const copy = run(union, source, { parent: undefined, directory: () => index.fd, name });
  moveToUpper(union, node, { directory: index.directory, name }, copy);
  const lowerLinks = source.stat.nlink;
  node.index = { name, lowerLinks, offset: lowerLinks - 1 };
  finish('giving a copy its name', () => linkIndexed(union, index, node, link.parent, link.name)); // the lower one leads there
}

/** Gives an indexed file one of its names in upper. */
function linkIndexed(
  union: Union,
  index: LinkIndex,
  node: FileNode,
  parent: DirectoryNode,
  name: string,
): void {
  const { work } = union.writable();
  const directory = copyUpDirectory(union, parent);
  const dirfd = union.handles.directory(directory);
  const before = fstat(dirfd);
  markImpure(work.xattrPrefix, directory, dirfd);
  index.alias(node, dirfd, name);
  keepTimes(union, parent, before);
  parent.listing?.add(name, node.type, node.ino);
}

/**
 * Gives a directory in upper its times back after a name came that the view had before. Who does not own the directory
 * may not set its times; then they are those of the change (ovl_set_timestamps, best effort as well).
 */
export function keepTimes(union: Union, directory: DirectoryNode, before: Stat): void {
  const { upper } = directory;
  if (upper === undefined) throw new Error('no directory in upper to keep the times of');
  const kept = finish('keeping the times of a directory', () =>
    setTimes(before, union.handles.directory(upper), ''),
  );
  if (!kept) union.attributesChanged(directory.id);
}

/** The node lives in upper from now on. */
function moveToUpper(union: Union, node: FileNode, home: Home, { fd, stat }: Copy): void {
  union.handles.drop(node);
  node.home = home;
  node.hasOrigin = true;
  if (fd >= 0) union.handles.adopt(node, fd, true);
  node.becomes(stat);
  if (node.keys.length > 0) union.nodes.registerLinks(node, stat);
}

/** A file without names is copied into an unnamed file, which lives as long as it is in use. */
function copyUpOrphan(union: Union, node: FileNode, source: Source): void {
  const { upper, work } = union.writable();
  if (!isRegular(source.stat.mode)) throw new Errno(E.ENOENT);
  union.credentials.mask(NO_MASK);
  const fd = openat(work.fd, '.', O.TMPFILE | O.RDWR, 0o600);
  try {
    copyFileData(source, fd);
    copyOwner(source, fd, '', upper.override, union.settings.ownership);
    copyXattrs(source, fd, '', (attribute) => escapeXattr(attribute, upper.override));
    copyMode(source, fd, '', upper.override, union.settings.ownership);
    copyTimes(source, fd, '');
  } catch (error) {
    close(fd);
    throw error;
  }
  union.handles.drop(node);
  node.home = { directory: upper.root, name: '' };
  union.handles.pinUnnamed(node, fd);
}

/** Where a copy goes. */
interface Destination {
  /** The merged directory that shows it; undefined for the index. */
  readonly parent: DirectoryNode | undefined;
  readonly directory: () => number;
  readonly name: string;
}

/** A copy that has got its name. */
interface Copy {
  /** Of a regular file, open for reading and writing; -1 for other kinds. */
  readonly fd: number;
  readonly stat: Stat;
}

/** Executes the plan. */
function run(union: Union, source: Source, { parent, directory, name }: Destination): Copy {
  const {
    work,
    upper: { override },
  } = union.writable();
  const staged = work.temporary();
  union.credentials.mask(NO_MASK);
  let fd = -1;
  let stat = source.stat;
  let parentBefore: Stat | undefined;
  execute(planCopyUp(kindOf(source.stat)), {
    'make-parents': () => parent && copyUpDirectory(union, parent),
    'stage-copy': () => {
      fd = createEmpty(source, work.fd, staged, override);
    },
    'copy-data': () => copyFileData(source, fd),
    'copy-owner': () => copyOwner(source, work.fd, staged, override, union.settings.ownership),
    'copy-mode': () => copyMode(source, work.fd, staged, override, union.settings.ownership),
    'copy-xattrs': () => copyXattrs(source, work.fd, staged, (attribute) => escapeXattr(attribute, override)),
    'set-origin': () => setOrigin(union, source, parent, staged),
    'copy-times': () => copyTimes(source, work.fd, staged),
    sync: () => {
      if (!union.settings.volatile) fsync(fd);
    },
    install: () => {
      if (!isDirectory(source.stat.mode)) stat = statOfStaged(work.fd, staged, fd);
      if (parent !== undefined) parentBefore = fstat(directory());
      work.install(staged, directory(), name, true);
    },
    'keep-parent-times': () => {
      if (parent !== undefined && parentBefore !== undefined) keepTimes(union, parent, parentBefore);
    },
    abandon: () => {
      if (fd >= 0) close(fd);
      work.discard(staged);
    },
  });
  return { fd, stat };
}

function statOfStaged(dirfd: number, name: string, fd: number): Stat {
  const stat = fd >= 0 ? fstat(fd) : statat(dirfd, name);
  if (stat === undefined) throw new Errno(E.EIO, 'copy-up');
  return stat;
}

/** Records which lower inode this is a copy of; what goes to the index also counts its names. */
function setOrigin(union: Union, source: Source, parent: DirectoryNode | undefined, staged: string): void {
  const { work } = union.writable();
  // Without an index, the copy of one of several names is a file of its own.
  if (parent !== undefined && !isDirectory(source.stat.mode) && source.stat.nlink > 1) return;
  const origin = encodeOrigin(source.directory.layer, source.dirfd, source.name);
  if (origin === undefined) return;
  writeOrigin(work.xattrPrefix, work.fd, staged, origin);
  if (parent === undefined) union.index?.prepare(work.fd, staged);
  else {
    const directory = copyUpDirectory(union, parent);
    markImpure(work.xattrPrefix, directory, union.handles.directory(directory));
  }
}
