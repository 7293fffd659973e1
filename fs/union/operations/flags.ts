/**
 * Inode flags: immutable, append-only and what else chattr(1) sets.
 *
 * Rules: flags are the layer's filesystem's: upper's keeps and enforces what is set there. A lower entry that is
 * immutable or append-only cannot be changed through the union either, until its flags are taken away, which copies it
 * up. Compare ovl_fileattr_set and ovl_copyflags in fs/overlayfs, ioctl_iflags(2).
 */
import { E, Errno, unless } from '../../sys/errno.js';
import { FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, ioctl } from '../../sys/syscalls.js';
import { DirectoryNode, type FileNode, type Node } from '../nodes/node.js';
import type { Union } from '../nodes/union.js';
import { copyUpDirectory, copyUpProtected } from './copy-up.js';

/** Commands that tell flags. */
const GET: ReadonlySet<number> = new Set([
  FS_IOC_GETFLAGS,
  0x801c581f, // FS_IOC_FSGETXATTR
]);
/** Commands that set them; the kernel has checked the caller's right. */
const SET: ReadonlySet<number> = new Set([
  FS_IOC_SETFLAGS,
  0x401c5820, // FS_IOC_FSSETXATTR
]);

/**
 * FUSE_IOCTL for the kernel's own questions (fuse_fileattr_get, fuse_fileattr_set).
 * @param argument what is read and written: the kernel's copy of the caller's
 */
export function flagsIoctl(union: Union, node: Node, command: number, argument: Buffer): void {
  const isSet = SET.has(command);
  if (!isSet && !GET.has(command)) throw new Errno(E.ENOTTY);
  if (isSet) makeOwn(union, node);
  const fd = node instanceof DirectoryNode ? union.handles.top(node) : readerOf(union, node);
  const refused = unless([E.EBADF, E.EOPNOTSUPP], () => {
    ioctl(fd, command, argument);
    return false;
  });
  if (refused !== false) throw new Errno(E.ENOTTY);
  if (!isSet) return;
  union.handles.drop(node); // what is opened from now on has the rights of now
  union.attributesChanged(node.id); // the change time, which the kernel still has in its cache
}

function readerOf(union: Union, node: FileNode): number {
  if (!node.isRegular) throw new Errno(E.ENOTTY);
  return union.handles.reader(node);
}

function makeOwn(union: Union, node: Node): void {
  if (node instanceof DirectoryNode) copyUpDirectory(union, node);
  else copyUpProtected(union, node);
}
