/**
 * The union as a `Filesystem`: finds the nodes a request names and hands over to the operation.
 *
 * Rule: no decisions here. One file beside this one holds each operation.
 */
import type {
  AttributeChanges,
  Attributes,
  Caller,
  DirectoryPlusSink,
  DirectorySink,
  Entry,
  Filesystem,
  LookupResult,
  NewInode,
  NodeId,
} from '../protocol/filesystem.js';
import { isAcl } from '../sys/constants.js';
import { E, Errno } from '../sys/errno.js';
import { type FilesystemStat, fstatfs } from '../sys/syscalls.js';
import { lookup } from './nodes/lookup.js';
import type { NodeTable } from './nodes/node-table.js';
import { locate } from './nodes/place.js';
import { readdir, readdirplus } from './nodes/readdir.js';
import type { Union } from './nodes/union.js';
import { getattr, setattr } from './operations/attributes.js';
import { create, link, unnamed } from './operations/create.js';
import { copyFileRange, fallocate, lseek, read, unflushed, write } from './operations/data.js';
import { flagsIoctl } from './operations/flags.js';
import { giveAway, givenOwner, unnamedDevice, wantedDevice } from './operations/owner-channel.js';
import { rmdir, unlink } from './operations/remove.js';
import { rename } from './operations/rename.js';
import { inspectChunk } from './operations/self-description.js';
import { getxattr, listxattr, removexattr, setxattr } from './operations/xattr.js';
import { linkTarget } from './owners/stored-owners.js';

export class UnionFilesystem implements Filesystem {
  readonly #union: Union;
  readonly #nodes: NodeTable;
  readonly #describe: () => unknown;

  /** @param describe what `unionfs inspect` shows */
  constructor(union: Union, describe: () => unknown) {
    this.#union = union;
    this.#nodes = union.nodes;
    this.#describe = describe;
  }

  lookup(caller: Caller, parent: NodeId, name: string): LookupResult {
    const directory = this.#nodes.directory(parent);
    const inode = wantedDevice(this.#union, name);
    if (inode !== undefined) return unnamedDevice(this.#union, caller, directory, inode);
    return lookup(this.#union, directory, name);
  }

  forget(node: NodeId, lookups: number): void {
    this.#nodes.forget(node, lookups);
  }

  getattr(node: NodeId): Attributes {
    return getattr(this.#union, this.#nodes.get(node));
  }

  setattr(caller: Caller, node: NodeId, changes: AttributeChanges): Attributes {
    return setattr(this.#union, caller, this.#nodes.get(node), changes);
  }

  readlink(node: NodeId): string {
    return linkTarget(locate(this.#union, this.#nodes.file(node)));
  }

  create(caller: Caller, parent: NodeId, name: string, inode: NewInode): Entry {
    return create(this.#union, caller, this.#nodes.directory(parent), name, inode);
  }

  tmpfile(caller: Caller, parent: NodeId, mode: number, umask: number): Entry {
    const inode: NewInode = { kind: 'node', mode, umask, major: 0, minor: 0 };
    return unnamed(this.#union, caller, this.#nodes.directory(parent), inode);
  }

  link(node: NodeId, parent: NodeId, name: string): Entry {
    return link(this.#union, this.#nodes.file(node), this.#nodes.directory(parent), name);
  }

  unlink(parent: NodeId, name: string): void {
    unlink(this.#union, this.#nodes.directory(parent), name);
  }

  rmdir(parent: NodeId, name: string): void {
    rmdir(this.#union, this.#nodes.directory(parent), name);
  }

  rename(parent: NodeId, name: string, newParent: NodeId, newName: string, flags: number): void {
    const [from, to] = [this.#nodes.directory(parent), this.#nodes.directory(newParent)];
    rename(this.#union, from, name, to, newName, flags);
  }

  read(node: NodeId, offset: number, into: Uint8Array): number {
    return read(this.#union, this.#nodes.file(node), offset, into);
  }

  write(caller: Caller, node: NodeId, offset: number, data: Uint8Array, killSetId: boolean): number {
    return write(this.#union, caller, this.#nodes.file(node), offset, data, killSetId);
  }

  fallocate(caller: Caller, node: NodeId, mode: number, offset: number, length: number): void {
    fallocate(this.#union, caller, this.#nodes.file(node), mode, offset, length);
  }

  lseek(node: NodeId, offset: number, whence: number): number {
    return lseek(this.#union, this.#nodes.file(node), offset, whence);
  }

  ioctl(node: NodeId, command: number, argument: Buffer): void {
    flagsIoctl(this.#union, this.#nodes.get(node), command, argument);
  }

  copyFileRange(
    caller: Caller,
    from: NodeId,
    fromOffset: number,
    to: NodeId,
    toOffset: number,
    length: number,
  ): number {
    const [source, target] = [this.#nodes.file(from), this.#nodes.file(to)];
    return copyFileRange(this.#union, caller, source, fromOffset, target, toOffset, length);
  }

  unflushed(node: NodeId): number | undefined {
    return unflushed(this.#union, this.#nodes.get(node));
  }

  readdir(node: NodeId, cookie: number, sink: DirectorySink): void {
    readdir(this.#union, this.#nodes.directory(node), cookie, sink);
  }

  readdirplus(node: NodeId, cookie: number, sink: DirectoryPlusSink): void {
    readdirplus(this.#union, this.#nodes.directory(node), cookie, sink);
  }

  /** Space is upper's, or the top lower's on a read-only union. */
  statfs(): FilesystemStat {
    const [top] = this.#union.layers;
    return fstatfs((this.#union.upper ?? top)?.rootFd ?? -1);
  }

  getxattr(node: NodeId, name: string): Uint8Array | undefined {
    const found = this.#nodes.get(node);
    if (found === this.#union.root) {
      const chunk = inspectChunk(name, this.#describe);
      if (chunk !== undefined) return chunk;
    }
    if (name === this.#union.virtualOwners?.secret) return givenOwner(this.#union, found);
    this.#refuseAttribute(name);
    return getxattr(this.#union, found, name);
  }

  /** Some are left out on request. */
  #refuseAttribute(name: string): void {
    const { without } = this.#union;
    if (without.has('xattrs') || (without.has('acl') && isAcl(name))) throw new Errno(E.EOPNOTSUPP);
  }

  listxattr(caller: Caller, node: NodeId): string[] {
    const { without } = this.#union;
    if (without.has('xattrs')) throw new Errno(E.EOPNOTSUPP);
    const names = listxattr(this.#union, caller, this.#nodes.get(node));
    return without.has('acl') ? names.filter((name) => !isAcl(name)) : names;
  }

  setxattr(node: NodeId, name: string, value: Uint8Array, flags: number, killSetGid: boolean): void {
    const found = this.#nodes.get(node);
    if (name === this.#union.virtualOwners?.secret) {
      giveAway(this.#union, found, value);
      return;
    }
    this.#refuseAttribute(name);
    setxattr(this.#union, found, name, value, flags, killSetGid);
  }

  removexattr(node: NodeId, name: string): void {
    this.#refuseAttribute(name);
    removexattr(this.#union, this.#nodes.get(node), name);
  }
}
