/**
 * Adapts `Filesystem` to operations on paths, as in libfuse's high-level interface (struct fuse_operations).
 *
 * Rules: each operation looks its path up from the root and gives the lookups back when it is done; an open file keeps
 * its node. Paths come as text that was decoded from UTF-8, so names that are none cannot be served: a listing leaves
 * them out, and a path that was damaged by decoding is refused with EILSEQ. ACLs are not served.
 */
import { FUSE_ROOT_ID } from '../protocol/abi.js';
import type { AttributeChanges, Caller, Filesystem, NewInode, NodeId } from '../protocol/filesystem.js';
import { isAcl, S } from '../sys/constants.js';
import { E, Errno } from '../sys/errno.js';
import { flush } from '../sys/syscalls.js';
import { type PathStat, type PathStatfs, statfsOf, statOf, timeOf, toBytes, toText } from './path-values.js';

const PERMISSIONS = 0o7777;
/** An id that stays, as chown(2) has it. */
const KEPT = 2 ** 32 - 1;
/** The most that fuse-native keeps of a file handle. */
const LARGEST_HANDLE = 2 ** 31 - 1;
const NOTHING: AttributeChanges = {
  mode: undefined,
  uid: undefined,
  gid: undefined,
  size: undefined,
  atime: undefined,
  mtime: undefined,
  killSetId: false,
};

/** The kernel does not know of ACLs here, and would go on showing the old mode. */
function attributeOf(text: string): string {
  if (isAcl(text)) throw new Errno(E.EOPNOTSUPP);
  return toBytes(text);
}

export class PathOperations {
  readonly #filesystem: Filesystem;
  readonly #caller: Caller;
  readonly #open = new Map<number, NodeId>();
  #lastHandle = 0;

  /** @param caller whom new files belong to: libfuse's callbacks, as fuse-native passes them on, name nobody */
  constructor(filesystem: Filesystem, caller: Caller) {
    this.#filesystem = filesystem;
    this.#caller = caller;
  }

  // --- attributes

  getattr(path: string): PathStat {
    return this.#at(path, (node) => statOf(this.#filesystem.getattr(node).attributes));
  }

  chmod(path: string, mode: number): void {
    this.#change(path, { mode: mode & PERMISSIONS });
  }

  /** `KEPT` keeps an id. */
  chown(path: string, uid: number, gid: number): void {
    this.#change(path, { uid: uid === KEPT ? undefined : uid, gid: gid === KEPT ? undefined : gid });
  }

  truncate(path: string, size: number): void {
    this.#change(path, { size });
  }

  ftruncate(_path: string, handle: number, size: number): void {
    this.#filesystem.setattr(this.#caller, this.#opened(handle), { ...NOTHING, size });
  }

  /** Times are milliseconds since 1970. */
  utimens(path: string, atime: number, mtime: number): void {
    this.#change(path, { atime: timeOf(atime), mtime: timeOf(mtime) });
  }

  statfs(): PathStatfs {
    return statfsOf(this.#filesystem.statfs());
  }

  // --- names

  readdir(path: string): string[] {
    const names: string[] = [];
    const add = (bytes: string): boolean => {
      const name = toText(bytes);
      if (name !== undefined) names.push(name);
      return true;
    };
    this.#at(path, (node) => this.#filesystem.readdir(node, 0, { add }));
    return names;
  }

  readlink(path: string): string {
    const target = toText(this.#at(path, (node) => this.#filesystem.readlink(node)));
    if (target === undefined) throw new Errno(E.EILSEQ);
    return target;
  }

  mknod(path: string, mode: number, device: number): void {
    const major = (device >>> 8) & 0xfff;
    const minor = (device & 0xff) | ((device >>> 12) & 0xfff00);
    this.#make(path, { kind: 'node', mode, major, minor, umask: 0 });
  }

  mkdir(path: string, mode: number): void {
    this.#make(path, { kind: 'directory', mode: mode & PERMISSIONS, umask: 0 });
  }

  symlink(target: string, path: string): void {
    this.#make(path, { kind: 'symlink', target: toBytes(target) });
  }

  link(from: string, to: string): void {
    this.#at(from, (node) =>
      this.#below(to, (parent, name) => this.#forget([this.#filesystem.link(node, parent, name).nodeid])),
    );
  }

  unlink(path: string): void {
    this.#below(path, (parent, name) => this.#filesystem.unlink(parent, name));
  }

  rmdir(path: string): void {
    this.#below(path, (parent, name) => this.#filesystem.rmdir(parent, name));
  }

  rename(from: string, to: string): void {
    this.#below(from, (parent, name) =>
      this.#below(to, (newParent, newName) => this.#filesystem.rename(parent, name, newParent, newName, 0)),
    );
  }

  // --- open files

  open(path: string): number {
    const nodes = this.#resolve(namesOf(path));
    const node = nodes.pop();
    this.#forget(nodes);
    if (node === undefined) throw new Errno(E.EISDIR);
    return this.#keep(node);
  }

  create(path: string, mode: number): number {
    const regular = S.IFREG | (mode & PERMISSIONS);
    const inode: NewInode = { kind: 'node', mode: regular, major: 0, minor: 0, umask: 0 };
    return this.#below(path, (parent, name) =>
      this.#keep(this.#filesystem.create(this.#caller, parent, name, inode).nodeid),
    );
  }

  release(_path: string, handle: number): void {
    this.#forget([this.#opened(handle)]);
    this.#open.delete(handle);
  }

  /** The count of bytes, short only at the end of the file. */
  read(_path: string, handle: number, into: Uint8Array, length: number, offset: number): number {
    return this.#filesystem.read(this.#opened(handle), offset, into.subarray(0, length));
  }

  write(_path: string, handle: number, data: Uint8Array, length: number, offset: number): number {
    const node = this.#opened(handle);
    return this.#filesystem.write(this.#caller, node, offset, data.subarray(0, length), false);
  }

  fsync(_path: string, dataOnly: number, handle: number): void {
    this.#flush(this.#opened(handle), dataOnly !== 0);
  }

  fsyncdir(path: string, dataOnly: number): void {
    this.#at(path, (node) => this.#flush(node, dataOnly !== 0));
  }

  #flush(node: NodeId, dataOnly: boolean): void {
    const fd = this.#filesystem.unflushed(node);
    if (fd !== undefined) flush(fd, dataOnly);
  }

  // --- extended attributes

  /** Throws `Errno` ERANGE if the value has more than `room` bytes; 0 asks for its length alone. */
  getxattr(path: string, name: string, room: number): Uint8Array {
    const value = this.#at(path, (node) => this.#filesystem.getxattr(node, attributeOf(name)));
    if (value === undefined) throw new Errno(E.ENODATA);
    if (room > 0 && value.length > room) throw new Errno(E.ERANGE);
    return value;
  }

  listxattr(path: string): string[] {
    const names = this.#at(path, (node) => this.#filesystem.listxattr(this.#caller, node));
    return names.flatMap((bytes) => (isAcl(bytes) ? [] : (toText(bytes) ?? [])));
  }

  setxattr(path: string, name: string, value: Uint8Array, flags: number): void {
    this.#at(path, (node) => this.#filesystem.setxattr(node, attributeOf(name), value, flags, false));
  }

  removexattr(path: string, name: string): void {
    this.#at(path, (node) => this.#filesystem.removexattr(node, attributeOf(name)));
  }

  // --- paths and nodes

  /** The nodes that the names lead to one after the other, each looked up once; without names none, for the root. */
  #resolve(names: readonly string[]): NodeId[] {
    const nodes: NodeId[] = [];
    try {
      for (const name of names) {
        const found = this.#filesystem.lookup(this.#caller, nodes.at(-1) ?? ROOT, name);
        if (!('nodeid' in found)) throw new Errno(E.ENOENT);
        nodes.push(found.nodeid);
      }
      return nodes;
    } catch (error) {
      this.#forget(nodes);
      throw error;
    }
  }

  #forget(nodes: readonly NodeId[]): void {
    for (const node of [...nodes].reverse()) this.#filesystem.forget(node, 1);
  }

  #with<T>(names: readonly string[], use: (node: NodeId) => T): T {
    const nodes = this.#resolve(names);
    try {
      return use(nodes.at(-1) ?? ROOT);
    } finally {
      this.#forget(nodes);
    }
  }

  #at<T>(path: string, use: (node: NodeId) => T): T {
    return this.#with(namesOf(path), use);
  }

  /** The directory of a path, and the last name in it. */
  #below<T>(path: string, use: (parent: NodeId, name: string) => T): T {
    const names = namesOf(path);
    const name = names.pop();
    if (name === undefined) throw new Errno(E.EBUSY);
    return this.#with(names, (parent) => use(parent, name));
  }

  #change(path: string, changes: Partial<AttributeChanges>): void {
    this.#at(path, (node) => this.#filesystem.setattr(this.#caller, node, { ...NOTHING, ...changes }));
  }

  #make(path: string, inode: NewInode): void {
    this.#below(path, (parent, name) =>
      this.#forget([this.#filesystem.create(this.#caller, parent, name, inode).nodeid]),
    );
  }

  /** A handle, never 0, for a node whose lookup is the handle's from here on. */
  #keep(node: NodeId): number {
    do this.#lastHandle = (this.#lastHandle % LARGEST_HANDLE) + 1;
    while (this.#open.has(this.#lastHandle));
    this.#open.set(this.#lastHandle, node);
    return this.#lastHandle;
  }

  #opened(handle: number): NodeId {
    const node = this.#open.get(handle);
    if (node === undefined) throw new Errno(E.EBADF);
    return node;
  }
}

const ROOT = FUSE_ROOT_ID as NodeId;

const namesOf = (path: string): string[] =>
  toBytes(path)
    .split('/')
    .filter((name) => name !== '');
