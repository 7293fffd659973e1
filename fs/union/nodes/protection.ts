/** Entries of lower layers that chattr(1) has made immutable or append-only (`operations/flags.ts`). */
import { E, Errno } from '../../sys/errno.js';
import { isProtected } from '../../sys/stat.js';
import { statOf } from './lookup.js';
import { DirectoryNode, FileNode, type Node } from './node.js';
import type { Union } from './union.js';

/** Throws EPERM if an entry that is about to go, move or gain a name is a protected one of a lower layer. */
export function refuseProtected(union: Union, node: Node | undefined): void {
  if (node === undefined) return;
  const isNameless = node instanceof FileNode && node.links.length === 0;
  const { layer } = node instanceof DirectoryNode ? node.top : node.home.directory;
  if (isNameless || layer.isUpper || !layer.hasInodeFlags) return;
  if (isProtected(statOf(union, node))) throw new Errno(E.EPERM);
}
