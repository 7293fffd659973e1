/** The live mounts of this machine, from /proc/self/mountinfo (proc(5)) and from the mounts themselves. */
import { realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import { UsageError } from '../fs/index.js';
import { AT, O } from '../fs/sys/constants.js';
import { Errno } from '../fs/sys/errno.js';
import { mountTable } from '../fs/sys/mountinfo.js';
import { close, openat } from '../fs/sys/syscalls.js';
import { FUSE_TYPE } from '../fs/transport/device.js';
import { readInspection } from '../fs/union/inspect.js';
import { type Stack, toBytes } from '../fs/union/stack.js';

/** What a mount tells about itself (`describe` in fs/serve.ts). */
export interface Inspection extends Stack {
  readonly pid: number;
  readonly settings: {
    readonly volatile: boolean;
    readonly descriptors: number;
    readonly layerChanges: string | number;
  };
  readonly whiteoutXattrs?: string;
  readonly counters: {
    readonly nodes: number;
    readonly watches: number;
    readonly copiedUpFiles: number;
    readonly copiedUpBytes: number;
    readonly requests: Readonly<Record<string, number>>;
  };
}

export interface MountEntry {
  readonly mountpoint: string;
  readonly type: string;
}

/** All mounts, in the order of mounting. */
export function mounts(): MountEntry[] {
  return mountTable().map(({ mountpoint, type }) => ({
    mountpoint: Buffer.from(mountpoint, 'latin1').toString(),
    type,
  }));
}

/** The live unions' mountpoints. */
export function unionMounts(): string[] {
  return mounts()
    .filter(({ type }) => type === FUSE_TYPE)
    .map(({ mountpoint }) => mountpoint);
}

/** Asks a mount about itself; undefined if its server is gone. */
export function inspectMount(mountpoint: string): Inspection | undefined {
  let fd: number;
  try {
    fd = openat(AT.FDCWD, toBytes(mountpoint), O.RDONLY | O.DIRECTORY);
  } catch (error) {
    if (error instanceof Errno) return undefined;
    throw error;
  }
  try {
    return readInspection(fd) as Inspection | undefined;
  } finally {
    close(fd);
  }
}

/** The mountpoint as mountinfo writes it, even when its server is dead and it cannot be resolved. */
export function canonical(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return resolve(path);
  }
}

/** The mountpoint that a user names, or an error. */
export function unionMountAt(path: string): string {
  const wanted = canonical(path);
  if (!unionMounts().includes(wanted)) throw new UsageError(`"${path}" is not a unionfs mountpoint`);
  return wanted;
}

/** The union that a path lies in, and the path below it. */
export function unionOf(path: string): { mountpoint: string; inner: string } | undefined {
  const inside = (mountpoint: string): boolean =>
    path === mountpoint || path.startsWith(mountpoint === '/' ? '/' : `${mountpoint}/`);
  const [innermost] = mounts()
    .filter(({ mountpoint }) => inside(mountpoint))
    .sort((a, b) => b.mountpoint.length - a.mountpoint.length);
  if (innermost === undefined || innermost.type !== FUSE_TYPE) return undefined;
  return { mountpoint: innermost.mountpoint, inner: path.slice(innermost.mountpoint.length) };
}
