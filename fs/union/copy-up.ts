/**
 * Copy-up: an entry of a lower layer gets a full copy in upper before its first change.
 *
 * Rules: parents first; the copy is built in work and appears in upper by one rename, so that an interruption at any
 * instruction leaves the old or the new file; the node, its id and its inode number stay the same, so descriptors
 * and mappings opened before see the new data. Compare ovl_copy_up_one in fs/overlayfs/copy_up.c.
 */
import { O, S } from '../sys/constants.js';
import { E, Errno } from '../sys/errno.js';
import { isDirectory, isProtected, isRegular, type Stat } from '../sys/stat.js';
import { close, fstat, fsync, linkat, openat, statat } from '../sys/syscalls.js';
import { execute } from './apply.js';
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
} from './copy-entry.js';
import { LayerDirectory } from './layer.js';
import type { LinkIndex } from './link-index.js';
import type { DirectoryNode, FileNode, Home, Link } from './node.js';
import { encodeOrigin, markImpure, writeOrigin } from './origin.js';
import { recorded } from './owners.js';
import { recordedOf } from './place.js';
import { planCopyUp } from './rules.js';
import type { Union } from './state.js';
import { escapeXattr } from './xattr.js';

/** Makes a directory, and those above it, exist in upper. */
export function copyUpDirectory(union: Union, node: DirectoryNode): LayerDirectory {
  if (node.upper !== undefined) return node.upper;
  const { upper } = union.writable();
  if (node.removed || node.parent === undefined) throw new Errno(E.ENOENT);
  const { parent, name } = node;
  copyUpDirectory(union, parent); // before any descriptor is taken: the way up may be long
  const dirfd = union.handles.directory(node.top);
  const stat = recordedOf(union, node, fstat(dirfd));
  const source = { directory: node.top, name: '', dirfd, stat, keep: 0 };
  run(union, source, {
    parent,
    directory: () => union.handles.directory(copyUpDirectory(union, parent)),
    name,
  });
  node.upper = new LayerDirectory(upper, parent.upper, name);
  parent.listing?.add(name, S.IFDIR, node.ino);
  return node.upper;
}

/**
 * Makes a non-directory exist in upper.
 * @param keep bytes of data that are needed, when the file is about to be truncated to that length
 */
export function copyUpFile(union: Union, node: FileNode, keep = Number.POSITIVE_INFINITY): void {
  if (node.inUpper) return;
  const source = sourceOf(union, node, keep);
  if (source.directory.layer.hasInodeFlags && isProtected(source.stat)) throw new Errno(E.EPERM);
  copyUpSource(union, node, source);
}

/** The same for a file whose flags forbid changing it, so that they can be taken away. */
export function copyUpProtected(union: Union, node: FileNode): void {
  if (!node.inUpper) copyUpSource(union, node, sourceOf(union, node, Number.POSITIVE_INFINITY));
}

function sourceOf(union: Union, node: FileNode, keep: number): Source {
  union.writable();
  const [link] = node.links;
  if (link !== undefined) copyUpDirectory(union, link.parent); // before any descriptor is taken
  const { directory, name } = node.home;
  const dirfd = union.handles.directory(directory);
  const stat = statat(dirfd, name);
  if (stat === undefined) throw new Errno(E.ESTALE);
  return { directory, name, dirfd, stat: recorded(directory.layer.override, { dirfd, name }, stat), keep };
}

function copyUpSource(union: Union, node: FileNode, source: Source): void {
  const { stat, keep } = source;
  const [link] = node.links;
  if (link === undefined) copyUpOrphan(union, node, source);
  else if (stat.nlink > 1 && union.index !== undefined) copyUpIndexed(union, node, source, union.index, link);
  else copyUpLink(union, node, source, link);
  union.counters.copiedUpFiles++;
  union.counters.copiedUpBytes += Math.min(keep, Number(stat.size));
}

/** Makes one particular name of a non-directory exist in upper, not only the file. */
export function copyUpName(union: Union, node: FileNode, { parent, name }: Link): void {
  copyUpFile(union, node);
  const dirfd = union.handles.directory(copyUpDirectory(union, parent));
  if (statat(dirfd, name) !== undefined) return;
  if (node.index !== undefined && union.index !== undefined)
    linkIndexed(union, union.index, node, parent, name);
  else linkat(union.handles.directory(node.home.directory), node.home.name, dirfd, name);
}

function copyUpLink(union: Union, node: FileNode, source: Source, { parent, name }: Link): void {
  const place = (): number => union.handles.directory(copyUpDirectory(union, parent));
  const fd = run(union, source, { parent, directory: place, name });
  settle(union, node, { directory: copyUpDirectory(union, parent), name }, fd);
  parent.listing?.add(name, node.type, node.ino);
  // Without an index, the names that are known stay together; others keep the old file.
  for (const other of node.links) copyUpName(union, node, other);
}

/** A file with several names is copied into the index, and the name it was reached by becomes a link there. */
function copyUpIndexed(union: Union, node: FileNode, source: Source, index: LinkIndex, link: Link): void {
  const origin = encodeOrigin(source.directory.layer, source.dirfd, source.name);
  if (origin === undefined) {
    copyUpLink(union, node, source, link);
    return;
  }
  const name = index.nameOf(origin);
  const fd = run(union, source, { parent: undefined, directory: () => index.fd, name });
  settle(union, node, { directory: index.directory, name }, fd);
  const lowerLinks = source.stat.nlink;
  node.index = { name, lowerLinks, offset: lowerLinks - 1 };
  linkIndexed(union, index, node, link.parent, link.name);
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
  index.alias(node, dirfd, name);
  markImpure(work.xattrPrefix, directory, dirfd);
  setTimes(before, dirfd, '');
}

/** The node lives in upper from now on. */
function settle(union: Union, node: FileNode, home: Home, fd: number): void {
  union.handles.drop(node);
  node.home = home;
  node.hasOrigin = true;
  if (fd >= 0) union.handles.adopt(node, fd, true);
  const copy = statat(union.handles.directory(home.directory), home.name);
  if (copy === undefined) throw new Errno(E.EIO, 'copy-up');
  node.becomes(copy);
  if (copy.nlink > 1 || node.keys.length > 0) union.registerLinks(node, copy);
}

/** A file without names is copied into an unnamed file, which lives as long as it is in use. */
function copyUpOrphan(union: Union, node: FileNode, source: Source): void {
  const { upper, work } = union.writable();
  if (!isRegular(source.stat.mode)) throw new Errno(E.ENOENT);
  const fd = openat(work.fd, '.', O.TMPFILE | O.RDWR, 0o600);
  try {
    copyFileData(source, fd);
    copyOwner(source, fd, '', upper.override, union.settings.ownership);
    copyMode(source, fd, '', upper.override, union.settings.ownership);
    copyXattrs(source, fd, '', (attribute) => escapeXattr(attribute, upper.override));
    copyTimes(source, fd, '');
  } catch (error) {
    close(fd);
    throw error;
  }
  union.handles.drop(node);
  node.pinned = fd;
  node.home = { directory: upper.root, name: '' };
}

/** Where a copy goes. */
interface Destination {
  /** The merged directory that shows it; undefined for the index. */
  readonly parent: DirectoryNode | undefined;
  readonly directory: () => number;
  readonly name: string;
}

/** Executes the plan; gives the open descriptor of a regular file's copy, -1 for other kinds. */
function run(union: Union, source: Source, { parent, directory, name }: Destination): number {
  const {
    work,
    upper: { override },
  } = union.writable();
  const staged = work.temporary();
  let fd = -1;
  let parentBefore: Stat | undefined;
  try {
    execute(planCopyUp(kindOf(source.stat)), {
      'make-parents': () => parent && copyUpDirectory(union, parent),
      'stage-copy': () => {
        fd = createEmpty(source, work.fd, staged, override);
      },
      'copy-data': () => copyFileData(source, fd),
      'copy-owner': () => copyOwner(source, work.fd, staged, override, union.settings.ownership),
      'copy-mode': () => copyMode(source, work.fd, staged, override, union.settings.ownership),
      'copy-xattrs': () =>
        copyXattrs(source, work.fd, staged, (attribute) => escapeXattr(attribute, override)),
      'set-origin': () => setOrigin(union, source, parent, staged),
      'copy-times': () => copyTimes(source, work.fd, staged),
      sync: () => {
        if (!union.settings.volatile) fsync(fd);
      },
      install: () => {
        parentBefore = fstat(directory());
        work.install(staged, directory(), name, true);
      },
      'keep-parent-times': () => parentBefore && setTimes(parentBefore, directory(), ''),
    });
  } catch (error) {
    if (fd >= 0) close(fd);
    work.discard(staged);
    throw error;
  }
  return fd;
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
