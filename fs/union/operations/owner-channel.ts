/**
 * Owners and devices past the kernel: in a user namespace with one id, chown(2) to any other is refused before a
 * filesystem sees it, and so is mknod(2) of devices in every user namespace. Who answers them in the kernel's place
 * (`runtime/container/owners/owner-worker.ts`) speaks to the union through the mount.
 *
 * Rules: it takes a secret of the process that mounts (`virtual-owners.ts`); to all others there is none of that name. An
 * owner is recorded and not shown: an inode whose owner has no id in the namespace could not be used there. So stat(2) is
 * answered in the kernel's place too. A device is an unnamed inode that gets its name by link(2), with all checks of it.
 */
import type { Caller, Entry } from '../../protocol/filesystem.js';
import { E, Errno } from '../../sys/errno.js';
import { statOf } from '../nodes/lookup.js';
import type { DirectoryNode, Node } from '../nodes/node.js';
import { layerOf, locate } from '../nodes/place.js';
import type { Union } from '../nodes/union.js';
import { recorded } from '../owners/stored-owners.js';
import { type Device, ownerValue, parseDeviceName, parseOwnerValue } from '../owners/virtual-owners.js';
import { changeOwner } from './change-owner.js';
import { unnamed } from './create.js';
import { makeWritable } from './xattr.js';

/** Records an owner. Throws Errno EINVAL for a malformed value. */
export function giveAway(union: Union, node: Node, value: Uint8Array): void {
  const owner = parseOwnerValue(value);
  if (owner === undefined) throw new Errno(E.EINVAL);
  makeWritable(union, node);
  changeOwner(union, node, owner);
  union.virtualOwners?.inodes.add(node.ino);
  union.attributesChanged(node.id); // set-id bits went
}

/** The owner that is recorded for a file; undefined where none is. */
export function givenOwner(union: Union, node: Node): Buffer | undefined {
  const inode = statOf(union, node);
  const stat = recorded(layerOf(node).override, locate(union, node), inode);
  return stat === inode ? undefined : ownerValue(stat.uid, stat.gid);
}

/** The device that a name asks for; undefined for the names of files. */
export function wantedDevice({ virtualOwners }: Union, name: string): Device | undefined {
  return virtualOwners && parseDeviceName(virtualOwners.secret, name);
}

/** Answers the lookup that asks for a device: there is no such name, only the inode. */
export function unnamedDevice(union: Union, caller: Caller, parent: DirectoryNode, device: Device): Entry {
  const entry = unnamed(union, caller, parent, { kind: 'node', umask: 0, ...device });
  entry.attributes.nlink = 1; // or it could not be linked (vfs_link)
  return { ...entry, entryTimeout: 0 };
}
