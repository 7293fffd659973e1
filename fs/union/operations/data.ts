/**
 * File data: read, write, holes, sync.
 *
 * Rules: a file is copied up at its first change, whichever descriptor or mapping it comes through. Reads go to
 * where the data is now, so nobody keeps reading an old copy.
 */
import type { Caller } from '../../protocol/filesystem.js';
import { E, Errno } from '../../sys/errno.js';
import {
  copyFileRange as copyFileRangeCall,
  fallocate as fallocateCall,
  fstat,
  lseek as lseekCall,
  pread,
  pwrite,
} from '../../sys/syscalls.js';
import { DirectoryNode, type FileNode, type Node } from '../nodes/node.js';
import type { Union } from '../nodes/union.js';
import { dropSetId } from './attributes.js';
import { loseCapability } from './change-owner.js';
import { copyUpFile, copyUpToWrite } from './copy-up.js';

/** A regular file's descriptor for writing, after copying it up. @param offset of what is written; undefined: anywhere */
function writer(union: Union, node: FileNode, offset?: number): number {
  if (!node.isRegular) throw new Errno(E.EINVAL);
  if (offset === undefined) copyUpFile(union, node);
  else copyUpToWrite(union, node, offset);
  loseCapability(union, node);
  return union.handles.writer(node);
}

export function read(union: Union, node: FileNode, offset: number, into: Uint8Array): number {
  const fd = union.handles.reader(node);
  let done = pread(fd, into, into.length, offset);
  while (done > 0 && done < into.length) {
    const more = pread(fd, into.subarray(done), into.length - done, offset + done);
    if (more === 0) break;
    done += more;
  }
  return done;
}

export function write(
  union: Union,
  caller: Caller,
  node: FileNode,
  offset: number,
  data: Uint8Array,
  killSetId: boolean,
): number {
  const fd = writer(union, node, offset);
  if (node.appendOnly && offset !== Number(fstat(fd).size)) throw new Errno(E.EPERM);
  if (killSetId) loseSetId(union, caller, node);
  return pwrite(fd, data, data.length, offset);
}

export function fallocate(
  union: Union,
  caller: Caller,
  node: FileNode,
  mode: number,
  offset: number,
  length: number,
): void {
  const fd = writer(union, node);
  if (caller.uid !== 0) loseSetId(union, caller, node);
  fallocateCall(fd, mode, offset, length);
}

/**
 * The kernel leaves it to us to clear set-id bits when somebody without CAP_FSETID changes data (file_remove_privs),
 * and takes only size and times for changed then (FUSE_STATX_MODSIZE). Before the change: upper's filesystem clears
 * them at the change of a server without the host's root, and says nothing.
 */
function loseSetId(union: Union, caller: Caller, node: FileNode): void {
  if (dropSetId(union, caller, node)) union.attributesChanged(node.id);
}

export function lseek(union: Union, node: FileNode, offset: number, whence: number): number {
  return lseekCall(union.handles.reader(node), offset, whence);
}

export function copyFileRange(
  union: Union,
  caller: Caller,
  from: FileNode,
  fromOffset: number,
  to: FileNode,
  toOffset: number,
  length: number,
): number {
  const toFd = writer(union, to);
  if (caller.uid !== 0) loseSetId(union, caller, to);
  return copyFileRangeCall(union.handles.reader(from), fromOffset, toFd, toOffset, length);
}

/** What fsync(2) is to be called on. Nothing of a lower layer is dirty. */
export function unflushed(union: Union, node: Node): number | undefined {
  if (union.settings.volatile) return undefined;
  if (node instanceof DirectoryNode) return node.upper && union.handles.top(node);
  return node.inUpper && node.isRegular ? union.handles.reader(node) : undefined;
}
