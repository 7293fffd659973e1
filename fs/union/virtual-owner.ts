/**
 * Giving files away past the kernel: in a user namespace with one id, chown(2) to any other is refused before a
 * filesystem sees it. Who answers it in the kernel's place (`runtime/container/owners/owner-worker.ts`) sets an attribute of
 * the file through the mount instead.
 *
 * Rules: the attribute's name is a secret of the process that mounts; to all others there is none of that name. What is
 * recorded is not shown: an inode whose owner has no id in the namespace could not be used there.
 */
import { E, Errno } from '../sys/errno.js';
import { changeOwner } from './change-owner.js';
import type { Node } from './node.js';
import { parseOwnerValue } from './owner-attribute.js';
import type { Union } from './state.js';
import { makeWritable } from './xattr.js';

/** Records an owner. Throws Errno EINVAL for what is none. */
export function giveAway(union: Union, node: Node, value: Uint8Array): void {
  const owner = parseOwnerValue(value);
  if (owner === undefined) throw new Errno(E.EINVAL);
  makeWritable(union, node);
  changeOwner(union, node, owner);
  union.attributesChanged(node.id); // set-id bits went
}
