/**
 * Layers and their directories.
 *
 * Rules: a layer's file is always reached as (directory descriptor, name), one component at a time and never
 * through a symlink, so no path is too long, no rename above breaks a path, and hostile layer contents cannot lead
 * out of the layer. Lower layers are opened through a private read-only, noatime copy of their mount where the
 * kernel allows (compare clone_private_mount in fs/overlayfs/super.c): then not even a bug can change them.
 */
import { AT, FUSE_SUPER_MAGIC, MOUNT_ATTR, MS, O } from '../../sys/constants.js';
import { E, Errno, unless } from '../../sys/errno.js';
import { changeMount, cloneTree } from '../../sys/mount-api.js';
import { toBytes } from '../../sys/path-bytes.js';
import { openWithoutSymlinks } from '../../sys/private-file.js';
import { isRegular, type Stat } from '../../sys/stat.js';
import {
  close,
  duplicate,
  FS_IOC_GETFLAGS,
  filesystemUuid,
  fstat,
  fstatfs,
  getxattrat,
  ioctl,
  keepAccessTime,
  openat,
  SIZEOF_FLAGS,
  setxattrat,
  tryOpenat,
} from '../../sys/syscalls.js';
import { isMetacopy, type OverlayPrefix } from './marks.js';
import type { OverrideXattr } from './owner-xattrs.js';

export class Layer {
  /** Absolute path, for messages. */
  readonly path: string;
  /** Position from the top; the upper, if there is one, is 0. */
  readonly index: number;
  readonly isUpper: boolean;
  readonly rootFd: number;
  /** The filesystem the layer lies on (Stat.dev). */
  readonly dev: number;
  /** The UUID of that filesystem, 16 bytes; undefined if the kernel does not tell it. */
  readonly uuid: Buffer | undefined;
  /** The root says that empty files may be whiteouts (overlay.opaque = "x"). */
  hasXattrWhiteouts: boolean;
  /** The attribute that keeps owners and modes of directories and files; undefined where inodes do. */
  override: OverrideXattr | undefined;
  /** A file handle leads to the same file as long as the file exists; a FUSE server's node ids end with it. */
  readonly handlesLast: boolean;
  /** The filesystem keeps inode flags, chattr(1). One without, such as erofs, may call all that it holds immutable. */
  readonly hasInodeFlags: boolean;
  /** What is opened here keeps its access time, as far as its owner's right allows it. */
  quiet: Quiet;
  readonly root: LayerDirectory;

  constructor(path: string, index: number, isUpper: boolean, rootFd: number, hasXattrWhiteouts: boolean) {
    this.path = path;
    this.index = index;
    this.isUpper = isUpper;
    this.rootFd = rootFd;
    this.hasXattrWhiteouts = hasXattrWhiteouts;
    this.dev = fstat(rootFd).dev;
    this.uuid = filesystemUuid(rootFd);
    this.handlesLast = fstatfs(rootFd).type !== FUSE_SUPER_MAGIC;
    this.hasInodeFlags = keepsInodeFlags(rootFd);
    this.quiet = { files: !isUpper, directories: !isUpper };
    this.root = new LayerDirectory(this, undefined, '');
    this.root.pinned = rootFd;
  }

  /** Makes whiteouts that are files count in this layer. */
  holdWhiteoutFiles(prefix: OverlayPrefix): void {
    if (this.hasXattrWhiteouts) return;
    setxattrat(this.rootFd, '', `${prefix}opaque`, Buffer.from('x')); // a root's opacity means nothing else
    this.hasXattrWhiteouts = true;
  }
}

/** Which access times O_NOATIME keeps. */
interface Quiet {
  readonly files: boolean;
  readonly directories: boolean;
}

/** One directory of one layer. Parent and name change when it is renamed, so that it can always be reopened. */
export class LayerDirectory {
  readonly layer: Layer;
  parent: LayerDirectory | undefined;
  name: string;
  /** A descriptor that must not be closed: the root's, or that of a directory that was removed while in use. */
  pinned = -1;
  /** Its attributes when it was removed, if there was no descriptor left to pin. */
  last: Stat | undefined;
  /** Upper's: whether it holds copies of lower entries; undefined until asked. */
  impure: boolean | undefined;
  /** Whether it may hold `.wh.` names; undefined where that is not known. */
  holdsDotNames: boolean | undefined;
  /** Whether opening with O_NOATIME was refused; then it is not tried again for this directory's files. */
  atimeRefused = false;

  constructor(layer: Layer, parent: LayerDirectory | undefined, name: string) {
    this.layer = layer;
    this.parent = parent;
    this.name = name;
  }
}

const XATTR_WHITEOUT_MARKS = ['trusted.overlay.opaque', 'user.overlay.opaque'];
const MARKED = 'x'.charCodeAt(0);
const DIRECTORY = O.RDONLY | O.DIRECTORY | O.NOFOLLOW;

/** Opens the roots of the lower layers, the top one first; `first` is its index. Paths name existing directories. */
export function openLowers(paths: readonly string[], first: number): Layer[] {
  return paths.map(toBytes).map((path, at) => layerAt(path, first + at, false, openApart(path, protect)));
}

/** Upper and the work directory, open; numbers, so that one thread can open what another serves. */
export interface Writable {
  readonly upperFd: number;
  readonly workFd: number;
  /** Their mount was told how to keep access times. */
  readonly told: boolean;
}

/**
 * A private copy of the mount that upper and the work directory lie on, both reached through it, so that rename(2) goes
 * between them and nothing mounted below upper, such as this union, is ever entered. No symlink on their way, which is
 * given by real paths, is followed: whoever may rename something there cannot lead elsewhere. Access times are kept
 * as the union's mount flags (MS) say, not as on upper's mount (ovl_get_upper).
 */
export class PrivateMount {
  readonly #ancestor: string;
  /** Its root; to be closed. */
  readonly fd: number;
  /** It was told how to keep access times. */
  readonly told: boolean;

  /** @param work may not exist yet, but what it is to lie in does */
  constructor(upper: string, work: string, flags: number = MS.NOATIME) {
    this.#ancestor = commonAncestor(toBytes(upper), toBytes(work));
    const own = openWithoutSymlinks(this.#ancestor);
    const copy = unless(NO_COPY, () => cloneTree(own, '', false));
    this.fd = copy ?? own;
    if (copy !== undefined) close(own);
    this.told = copy !== undefined && keepAccessTimes(copy, flags);
  }

  /** Opens a directory by its real path. */
  open(path: string): number {
    const below = toBytes(path).slice(this.#ancestor === '/' ? 0 : this.#ancestor.length);
    const fd = openWithoutSymlinks(below, this.fd);
    try {
      return openat(fd, '.', O.RDONLY | O.DIRECTORY);
    } finally {
      close(fd);
    }
  }
}

/** Without privilege, and before Linux 5.2, mounts are not copied. */
const NO_COPY = [E.EPERM, E.EINVAL, E.ENOSYS];

/** Opens upper and work, which exist. */
export function openWritable(upper: string, work: string): Writable {
  const mount = new PrivateMount(upper, work);
  try {
    return { upperFd: mount.open(upper), workFd: mount.open(work), told: mount.told };
  } finally {
    close(mount.fd);
  }
}

/** Upper as the layer of a union; it has a descriptor of its own. Where its mount was not told, at least no access times are touched that must not be. */
export function upperLayer(upper: string, { upperFd, told }: Writable, flags: number = MS.NOATIME): Layer {
  const layer = layerAt(toBytes(upper), 0, true, duplicate(upperFd));
  if (!told) {
    layer.quiet = {
      files: (flags & MS.NOATIME) !== 0,
      directories: (flags & (MS.NOATIME | MS.NODIRATIME)) !== 0,
    };
  }
  if (layer.quiet.directories) unless([E.EPERM], () => keepAccessTime(layer.rootFd));
  return layer;
}

/** Makes a private mount keep access times as flags of mount(2) say; false where that may not be changed (see `protect`). */
function keepAccessTimes(tree: number, flags: number): boolean {
  const noFiles = (flags & MS.NOATIME) === 0 ? 0 : MOUNT_ATTR.NOATIME;
  const noDirectories = (flags & MS.NODIRATIME) === 0 ? 0 : MOUNT_ATTR.NODIRATIME;
  const cleared = MOUNT_ATTR.ATIME | MOUNT_ATTR.NODIRATIME;
  const done = unless(REFUSED, () => {
    changeMount(tree, { set: noFiles | noDirectories, clear: cleared });
    return true;
  });
  return done === true;
}

/** The deepest directory that contains both paths. */
function commonAncestor(a: string, b: string): string {
  const [left, right] = [a.split('/'), b.split('/')];
  const differs = left.findIndex((name, index) => name !== right[index]);
  const common = differs < 0 ? left : left.slice(0, differs);
  return common.join('/') || '/';
}

function keepsInodeFlags(fd: number): boolean {
  try {
    ioctl(fd, FS_IOC_GETFLAGS, Buffer.alloc(SIZEOF_FLAGS));
    return true;
  } catch (error) {
    if (error instanceof Errno) return false;
    throw error;
  }
}

function layerAt(path: string, index: number, isUpper: boolean, rootFd: number): Layer {
  const hasXattrWhiteouts = XATTR_WHITEOUT_MARKS.some((mark) => getxattrat(rootFd, '', mark)?.[0] === MARKED);
  return new Layer(path, index, isUpper, rootFd, hasXattrWhiteouts);
}

/**
 * Opens a directory through a private copy of its mount, as overlayfs does: what is mounted below stays out of it, and
 * the mount that it lies on is not kept busy.
 */
export function openApart(path: string, prepare: (tree: number) => void = () => {}): number {
  let tree: number;
  try {
    tree = cloneTree(AT.FDCWD, path, false);
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    return openat(AT.FDCWD, path, O.RDONLY | O.DIRECTORY); // no privilege, or a kernel before 5.2
  }
  try {
    prepare(tree);
    return openat(tree, '.', O.RDONLY | O.DIRECTORY);
  } finally {
    close(tree);
  }
}

/** A user namespace may not change how a mount from outside keeps access times; a kernel before 5.12, nothing. */
const REFUSED = [E.EPERM, E.ENOSYS];

/** Whether `openApart` and `PrivateMount` reach a directory through a copy of its mount. */
export function isReachedApart(path: string): boolean {
  const tree = unless(NO_COPY, () => cloneTree(AT.FDCWD, toBytes(path), false));
  if (tree === undefined) return false;
  close(tree);
  return true;
}

/** Makes a lower layer's private mount read-only and quiet. */
function protect(tree: number): void {
  unless(REFUSED, () => changeMount(tree, { set: MOUNT_ATTR.RDONLY }));
  unless(REFUSED, () => changeMount(tree, { set: MOUNT_ATTR.NOATIME, clear: MOUNT_ATTR.ATIME }));
}

/** Opens a file or directory of a layer; access times stay as they are where the layer is quiet. */
export function openInLayer(directory: LayerDirectory, dirfd: number, name: string, flags: number): number {
  const { quiet: wanted } = directory.layer;
  const isQuiet = (flags & O.DIRECTORY) === 0 ? wanted.files : wanted.directories;
  const quiet = isQuiet && !directory.atimeRefused ? O.NOATIME : 0;
  let fd = tryOpenat(dirfd, name, flags | quiet | O.NOFOLLOW);
  if (fd === -E.EPERM && quiet !== 0) {
    directory.atimeRefused = true;
    fd = tryOpenat(dirfd, name, flags | O.NOFOLLOW);
  }
  if (fd < 0) throw new Errno(-fd, 'openat');
  return fd;
}

/** Opens a regular file; something else that has taken its name meanwhile is not waited for. */
export function openRegular(directory: LayerDirectory, dirfd: number, name: string, flags: number): number {
  const fd = openInLayer(directory, dirfd, name, flags | O.NONBLOCK);
  if (isRegular(fstat(fd).mode)) return fd;
  close(fd);
  throw new Errno(E.ESTALE, 'open');
}

/** Opens a regular file for its data; EIO if it has none of its own. */
export function openData(directory: LayerDirectory, dirfd: number, name: string, flags: number): number {
  const fd = openRegular(directory, dirfd, name, flags);
  if (!isMetacopy(fd, '')) return fd;
  close(fd);
  throw new Errno(E.EIO, 'metacopy');
}

/** Opens `name` below an open directory as a directory. One that may not be listed is opened for passage only. */
export function openDirectory(directory: LayerDirectory, parentFd: number, name: string): number {
  try {
    return openInLayer(directory, parentFd, name, DIRECTORY);
  } catch (error) {
    if (!(error instanceof Errno) || error.code !== E.EACCES) throw error;
    return openat(parentFd, name, O.PATH | O.DIRECTORY | O.NOFOLLOW);
  }
}
