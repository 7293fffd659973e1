/**
 * The portable transport: libfuse 2.9 by way of the npm package fuse-native, for hosts where the kernel's own protocol
 * cannot be spoken. Its callbacks arrive on the main thread.
 *
 * Rules: only the user who mounts has access, because files that others create would belong to this user, including
 * set-user-id files. The package is loaded on first use, and may be missing. Its bugs are worked around only here: it loses the second time of utimens, answers getxattr with more than there is room for, and hands over
 * empty values without memory. What it cannot do is listed in `FUSE_NATIVE_LIMITS`. Compare its index.js and fuse-native.c, version 2.2.6.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { shown } from '../input/shown.js';
import { E, Errno } from '../sys/errno.js';
import { keepLibrary } from '../sys/native.js';
import type { PathOperations } from './path-operations.js';

/** Limitations of this transport. */
export const FUSE_NATIVE_LIMITS: readonly string[] = [
  'only the user who mounts can access the mount: libfuse does not pass on the caller',
  'names that are not UTF-8 are hidden and cannot be created',
  'times are whole milliseconds since 1970; setting only one of atime and mtime, as tar does, has no effect',
  'inode numbers change between lookups, and hard links have different ones',
  'no renameat2 flags, fallocate, SEEK_HOLE, O_TMPFILE, ACLs or inode flags',
  'a file that is removed while open is renamed to ".fuse_hidden..." until it is closed',
  'slower: each operation resolves its whole path again, on one thread',
];

/** -o options of mount(8) that libfuse 2.9 takes. */
export const FUSE_NATIVE_OPTIONS: readonly string[] = [
  'ro',
  'nosuid',
  'nodev',
  'noexec',
  'noatime',
  'sync',
  'dirsync',
];

type Answer = (code: number, result?: unknown) => void;
type Signal = (code: number, buffer: ArrayBufferLike) => void;
type Handler = (native: Buffer, opcode: number, ...args: unknown[]) => void;

/** An instance of the package's class; names with an underscore are its own affair, and pinned by its version. */
interface Instance {
  mount(done: (error: Error | null) => void): void;
  unmount(done: (error: Error | null) => void): void;
  readonly _handlers: Handler[];
  _fuseOptions(): string;
  _op_getxattr(signal: Signal, path: string, name: string, room: Buffer): void;
}

interface Package {
  new (
    mountpoint: string,
    operations: Readonly<Record<string, (...args: unknown[]) => void>>,
    options: object,
  ): Instance;
  unmount(mountpoint: string, done: (error: Error | null) => void): void;
}

const NAME = 'fuse-native';

/** Throws an `Error` whose message says what to do. */
export function loadFuseNative(): Package {
  const require = createRequire(import.meta.url);
  try {
    return require(NAME) as Package;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'MODULE_NOT_FOUND') {
      throw new Error(`the package "${NAME}" is not installed; run "npm install ${NAME}"`);
    }
    if (code !== 'ERR_DLOPEN_FAILED') {
      throw new Error(`the package "${NAME}" has no build for this machine: ${message.split('\n')[0]}`);
    }
    return loadWithItsLibrary(require);
  }
}

/** The package holds a libfuse.so.2 for hosts without one; once it is loaded, the addon finds it by its soname. */
function loadWithItsLibrary(require: NodeJS.Require): Package {
  const library = join(dirname(require.resolve(NAME)), 'prebuilds', `linux-${process.arch}`, 'libfuse.so');
  try {
    keepLibrary(library);
    return require(NAME) as Package;
  } catch (error) {
    const reason = (error as Error).message.split('\n')[0];
    throw new Error(`the package "${NAME}" cannot be loaded: ${reason}; install "libfuse2"`);
  }
}

const OPERATIONS = [
  'getattr',
  'statfs',
  'readdir',
  'readlink',
  'mknod',
  'mkdir',
  'symlink',
  'link',
  'unlink',
  'rmdir',
  'rename',
  'chmod',
  'chown',
  'truncate',
  'ftruncate',
  'utimens',
  'open',
  'create',
  'release',
  'read',
  'write',
  'fsync',
  'fsyncdir',
  'getxattr',
  'setxattr',
  'listxattr',
  'removexattr',
] as const satisfies readonly (keyof PathOperations)[];

/** These answer with their count in the place of an error. */
const COUNTED = new Set<string>(['read', 'write']);
/** op_utimens of fuse-native.c, and where its fuse_thread_locals_t has atime and mtime (64-bit machines). */
const UTIMENS = { opcode: 12, atime: 104, mtime: 112 } as const;

export interface PortableOptions {
  /** What /proc/mounts shows as source, without commas. */
  readonly source: string;
  /** The type after "fuse.". */
  readonly subtype: string;
  /** Of `FUSE_NATIVE_OPTIONS`. */
  readonly words: readonly string[];
  /** A line per operation on standard error. */
  readonly trace: boolean;
}

export class PortableMount {
  readonly #instance: Instance;
  readonly #operations: PathOperations;
  readonly #trace: boolean;
  readonly #counts = new Map<string, number>();
  #closed = false;

  /** Throws an `Error` whose message says what to do. */
  constructor(mountpoint: string, operations: PathOperations, options: PortableOptions) {
    const Fuse = loadFuseNative();
    Fuse.unmount = (_mountpoint, done) => done(null); // it would run fusermount(1)
    this.#operations = operations;
    this.#trace = options.trace;
    const table = Object.fromEntries(OPERATIONS.map((name) => [name, this.#handlerOf(name)]));
    this.#instance = new Fuse(mountpoint, table, { timeout: false });
    this.#instance._fuseOptions = () => optionsOf(options);
    this.#instance._op_getxattr = (signal, path, name, room) => this.#getxattr(signal, path, name, room);
    mendUtimens(this.#instance._handlers);
  }

  /** How often each operation was asked for. */
  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts);
  }

  mount(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#instance.mount((error) => (error === null ? resolve() : reject(error)));
    });
  }

  /** Releases a mount that has ended; processes that still use it get ENOTCONN. */
  close(): Promise<void> {
    this.#closed = true;
    return new Promise((resolve, reject) => {
      this.#instance.unmount((error) => (error === null ? resolve() : reject(error)));
    });
  }

  #handlerOf(name: (typeof OPERATIONS)[number]): (...args: unknown[]) => void {
    const operation = this.#operations[name].bind(this.#operations) as (...args: unknown[]) => unknown;
    return (...args) => {
      const answer = args.pop() as Answer;
      if (name === 'setxattr') mendSetxattr(args);
      const outcome = this.#attempt(name, args, operation);
      if ('code' in outcome) answer(-outcome.code);
      else if (COUNTED.has(name)) answer(outcome.result as number);
      else answer(0, outcome.result);
    };
  }

  #attempt(
    name: string,
    args: readonly unknown[],
    operation: (...args: unknown[]) => unknown,
  ): { readonly code: number } | { readonly result: unknown } {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
    let said = 'ok';
    try {
      if (this.#closed) throw new Errno(E.ENOTCONN);
      return { result: operation(...args) };
    } catch (error) {
      const { code, message } = error instanceof Errno ? error : new Errno(E.EIO);
      said = message;
      if (!(error instanceof Errno)) process.stderr.write(`${name}: ${(error as Error).stack ?? error}\n`);
      return { code };
    } finally {
      if (this.#trace) process.stderr.write(`${name} ${shown(String(args[0]))} -> ${said}\n`);
    }
  }

  /** The package tells the length of what did not fit, and libfuse would send that much. */
  #getxattr(signal: Signal, path: string, name: string, room: Buffer): void {
    const operation = () => this.#operations.getxattr(path, name, room.length);
    const outcome = this.#attempt('getxattr', [path, name], operation);
    if ('code' in outcome) {
      signal(-outcome.code, room.buffer);
      return;
    }
    const value = outcome.result as Uint8Array;
    if (room.length > 0) room.set(value); // an empty buffer has no memory here
    signal(value.length, room.buffer);
  }
}

/** Position is macOS' affair, and an empty value comes without memory. */
function mendSetxattr(args: unknown[]): void {
  const [path, name, value, , flags] = args;
  const bytes = (value as Buffer).length === 0 ? Buffer.alloc(0) : value;
  args.splice(0, args.length, path, name, bytes, flags);
}

/** The package passes atime in the place of mtime; the time itself is in the structure it hands over. */
function mendUtimens(handlers: Handler[]): void {
  const handler = handlers[UTIMENS.opcode];
  if (handler === undefined)
    throw new Error(`the package "${NAME}" is not version 2.2.6; install that version`);
  handlers[UTIMENS.opcode] = (native, opcode, path, low, high) => {
    const isAtime =
      native.readUInt32LE(UTIMENS.atime) === low && native.readUInt32LE(UTIMENS.atime + 4) === high;
    if (!isAtime) throw new Error(`the package "${NAME}" is not version 2.2.6; install that version`);
    const mtime = [native.readUInt32LE(UTIMENS.mtime), native.readUInt32LE(UTIMENS.mtime + 4)];
    handler(native, opcode, path, low, high, ...mtime);
  };
}

function optionsOf({ source, subtype, words }: PortableOptions): string {
  const own = ['default_permissions', 'big_writes', `fsname=${source}`, `subtype=${subtype}`];
  return `-o${[...own, ...words].join(',')}`;
}
