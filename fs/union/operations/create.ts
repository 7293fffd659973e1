/**
 * New names: files, directories, symlinks, devices, and further names of a file.
 *
 * Rules: where upper holds nothing, the entry is made under its name by the one syscall that makes it, with the
 * caller's ids and umask, so it is never seen half made. Over a whiteout it is made in work and takes the
 * whiteout's place. Only the answer's attributes are asked for afterwards. A 0/0 character device and `.wh.` names would be read as whiteouts and are refused. Compare
 * ovl_create_or_link in fs/overlayfs/dir.c.
 */
import type { Caller, Entry, NewInode } from '../../protocol/filesystem.js';
import { ACL, AT, NAME_MAX, O, S } from '../../sys/constants.js';
import { E, Errno } from '../../sys/errno.js';
import { isDirectory, type Stat } from '../../sys/stat.js';
import {
  close,
  fchmodat,
  fchownat,
  fstat,
  getxattrat,
  isWritable,
  linkat,
  mkdirat,
  mknodat,
  openat,
  statat,
  symlinkat,
} from '../../sys/syscalls.js';
import { LayerDirectory } from '../layers/layer.js';
import type { Place } from '../layers/place.js';
import { isDotName } from '../layers/whiteout.js';
import { NO_MASK } from '../nodes/credentials.js';
import { Listing } from '../nodes/listing.js';
import { doubt, enter, statOf } from '../nodes/lookup.js';
import { type DirectoryNode, FileNode, type Node } from '../nodes/node.js';
import { layerOf, locate, recordedOf } from '../nodes/place.js';
import type { Union } from '../nodes/union.js';
import { makeRecorded, type ParentRecord, recordNew, recordOf } from '../owners/create-overridden.js';
import { recorded } from '../owners/stored-owners.js';
import { escapeXattr } from '../owners/xattr-names.js';
import { execute } from '../rules/execute.js';
import { answered, finish } from '../rules/finish.js';
import { plan, type Situation } from '../rules/plan.js';
import { copyUpDirectory, copyUpFile } from './copy-up.js';
import { rehome } from './remove.js';
import { DirectoryTarget, Target } from './target.js';

/** Refuses names that the union cannot hold. */
export function checkNewName(name: string): void {
  if (name.length > NAME_MAX) throw new Errno(E.ENAMETOOLONG);
  if (isDotName(name)) throw new Errno(E.EINVAL);
}

function checkNewInode(inode: NewInode): void {
  const isWhiteout =
    inode.kind === 'node' && (inode.mode & S.IFMT) === S.IFCHR && inode.major === 0 && inode.minor === 0;
  if (isWhiteout) throw new Errno(E.EPERM);
}

/**
 * Makes the inode itself. A regular file comes with a descriptor, because whoever makes one mostly writes to it at
 * once, and because its mode may forbid opening it later; other kinds give -1.
 */
function makeInode(
  union: Union,
  caller: Caller,
  parent: DirectoryNode,
  inode: NewInode,
  { dirfd, name }: Place,
): number {
  const attribute = union.upper?.override;
  if (attribute !== undefined) {
    union.credentials.mask(NO_MASK);
    return makeRecorded(
      attribute,
      { dirfd, name },
      inode,
      union.credentials.ownerFor(caller),
      parentRecord(union, parent),
    );
  }
  if (inode.kind === 'symlink') {
    symlinkat(inode.target, dirfd, name);
    return -1;
  }
  union.credentials.mask(inode.umask);
  const type = inode.mode & S.IFMT;
  if (inode.kind === 'directory') mkdirat(dirfd, name, inode.mode & ~S.IFMT);
  else if (type === S.IFREG) return openat(dirfd, name, NEW_FILE, inode.mode & ~S.IFMT);
  else mknodat(dirfd, name, inode.mode, inode.major, inode.minor);
  return -1;
}

/** What a directory passes on. */
function parentRecord(union: Union, parent: DirectoryNode): ParentRecord {
  const { dirfd, name } = locate(union, parent);
  const acl = getxattrat(dirfd, name, escapeXattr(ACL.DEFAULT, layerOf(parent).override));
  const defaultAcl = acl && Buffer.from(acl); // a copy: the next getxattr(2) uses the same memory
  return { stat: recordedOf(union, parent, statOf(union, parent)), defaultAcl };
}

const NEW_FILE = O.RDWR | O.CREAT | O.EXCL | O.NOFOLLOW;
const PRIVATE_FILE = 0o600;

/** FUSE_MKNOD, FUSE_MKDIR, FUSE_SYMLINK. */
export function create(
  union: Union,
  caller: Caller,
  parent: DirectoryNode,
  name: string,
  inode: NewInode,
): Entry {
  checkNewName(name);
  checkNewInode(inode);
  let fd = -1;
  let made: Made;
  try {
    const group = groupToGive(union, caller, parent);
    const make = (dirfd: number, at: string): void => {
      if (fd >= 0) close(fd); // of a first attempt
      fd = -1;
      fd = makeInode(union, caller, parent, inode, { dirfd, name: at });
      if (group !== undefined) giveGroup({ dirfd, name: at }, group);
    };
    const inSteps = group !== undefined || union.upper?.override !== undefined;
    const isDirectory = inode.kind === 'directory';
    const target = new (isDirectory ? DirectoryTarget : Target)(union, parent, name, make, inSteps);
    const isAlone = makeName(target, isDirectory ? 'mkdir' : 'create');
    made = answered(
      () => attributesOf(union, parent, name, fd),
      () => {
        if (isAlone) finish('undoing a creation', () => target.remove());
        doubt(union, parent, name);
      },
    );
  } catch (error) {
    if (fd >= 0) close(fd);
    throw error;
  }
  const { stat, stored } = made;
  const node = newNode(union, parent, name, stat);
  parent.listing?.add(name, stat.mode & S.IFMT, node.ino);
  if (fd >= 0 && node instanceof FileNode) union.handles.adopt(node, fd, true);
  return enter(union, parent, node, stored);
}

/** A new inode's attributes, and what its layer records. */
interface Made {
  readonly stat: Stat;
  readonly stored: Stat;
}

function attributesOf(union: Union, { upper }: DirectoryNode, name: string, fd: number): Made {
  if (upper === undefined) throw new Error('created without a parent in upper');
  const at = fd >= 0 ? { dirfd: fd, name: '' } : { dirfd: union.handles.directory(upper), name };
  const stat = fd >= 0 ? fstat(fd) : statat(at.dirfd, name);
  if (stat === undefined) throw new Errno(E.ESTALE);
  return { stat, stored: recorded(upper.layer.override, at, stat) };
}

/** Acts for the caller; the group that the inode has to be given after it was made, by a server that cannot do that. */
function groupToGive(union: Union, caller: Caller, parent: DirectoryNode): number | undefined {
  if (union.upper?.override !== undefined) return undefined;
  const group = union.credentials.actAs(caller);
  const inherits = group !== undefined && (statOf(union, parent).mode & S.ISGID) !== 0;
  return inherits ? undefined : group;
}

/** As its owner, who is in the group, may. */
function giveGroup({ dirfd, name }: Place, group: number): void {
  const made = name === '' ? fstat(dirfd) : statat(dirfd, name);
  fchownat(dirfd, name, -1, group);
  if (made !== undefined && (made.mode & SET_ID) !== 0) fchmodat(dirfd, name, made.mode & ~S.IFMT);
}

/** What chown(2) takes away. */
const SET_ID = S.ISUID | S.ISGID;

/** Runs the plan that makes the target's inode; whether it has taken nothing's place. */
function makeName(target: Target, operation: 'create' | 'mkdir'): boolean {
  const { parent } = target;
  // The kernel has just looked the name up: it is free, and mostly upper holds nothing there, not even a whiteout.
  try {
    const free: Situation = { upper: 'absent', below: 'nothing', parentMerged: parent.lowers.length > 0 };
    execute(plan(operation, free), target);
    return true;
  } catch (error) {
    if (!(error instanceof Errno) || error.code !== E.EEXIST) throw error;
    execute(plan(operation, target.situation()), target);
    return false;
  }
}

function newNode(union: Union, parent: DirectoryNode, name: string, stat: Stat): Node {
  if (parent.upper === undefined) throw new Error('created without a parent in upper');
  let node: Node;
  if (isDirectory(stat.mode)) {
    const upper = new LayerDirectory(parent.upper.layer, parent.upper, name);
    upper.holdsDotNames = false;
    const ino = union.inodes.of(stat.dev, stat.ino);
    const made = union.nodes.addDirectory(ino, { parent, name }, { upper, lowers: [] });
    made.listing = new Listing(); // it is empty, and every later name passes through here
    node = made;
  } else {
    node = union.nodes.addFile(stat, { directory: parent.upper, name });
    node.bare = true;
    node.addLink(parent, name);
  }
  parent.children.set(name, node);
  return node;
}

/** FUSE_TMPFILE: an unnamed inode in upper, made where a name for it is expected. */
export function unnamed(
  union: Union,
  caller: Caller,
  parent: DirectoryNode,
  inode: NewInode & { readonly kind: 'node' },
): Entry {
  checkNewInode(inode);
  const directory = copyUpDirectory(union, parent);
  const { override } = directory.layer;
  const group = groupToGive(union, caller, parent);
  union.credentials.mask(override === undefined ? inode.umask : NO_MASK);
  const own = override === undefined ? inode.mode & ~S.IFMT : PRIVATE_FILE;
  const fd = openat(union.handles.directory(directory), '.', O.TMPFILE | O.RDWR, own);
  const at = { dirfd: fd, name: '' };
  let stat: Stat;
  let stored: Stat;
  try {
    if (group !== undefined) giveGroup(at, group);
    if (override !== undefined) {
      recordNew(
        override,
        at,
        recordOf(inode, union.credentials.ownerFor(caller), parentRecord(union, parent)),
      );
    }
    stat = fstat(fd);
    stored = recorded(override, at, stat);
  } catch (error) {
    close(fd);
    throw error;
  }
  const node = union.nodes.addFile(stat, { directory, name: '' });
  union.handles.pinUnnamed(node, fd);
  node.bare = true;
  return enter(union, parent, node, stored);
}

/** FUSE_LINK. */
export function link(union: Union, node: FileNode, parent: DirectoryNode, name: string): Entry {
  checkNewName(name);
  rehome(union, node);
  const hasNoName = node.pinned >= 0;
  if (hasNoName && !node.inUpper) throw new Errno(E.ENOENT);
  copyUpFile(union, node);
  union.index?.pinCount(node);
  const canWrite = hasNoName && isWritable(node.pinned);
  const { directory, name: home } = node.home;
  const target = new Target(union, parent, name, (dirfd, at) => {
    target.receives(node);
    if (hasNoName) linkat(node.pinned, '', dirfd, at, AT.EMPTY_PATH);
    else linkat(union.handles.directory(directory), home, dirfd, at);
  });
  makeName(target, 'create');
  parent.listing?.add(name, node.type, node.ino);
  node.addLink(parent, name);
  if (hasNoName) giveHome(union, node, parent, name, canWrite);
  parent.children.set(name, node);
  return answered(
    () => {
      const stat = statOf(union, node);
      const stored = recordedOf(union, node, stat);
      union.nodes.registerLinks(node, stat);
      return enter(union, parent, node, stored);
    },
    () => doubt(union, parent, name),
  );
}

/** A file that only a descriptor led to can be reached by name from now on; its mode may forbid opening it again. */
function giveHome(
  union: Union,
  node: FileNode,
  { upper }: DirectoryNode,
  name: string,
  canWrite: boolean,
): void {
  if (upper === undefined) throw new Error('linked without a parent in upper');
  node.home = { directory: upper, name };
  union.handles.adopt(node, node.pinned, canWrite);
}
