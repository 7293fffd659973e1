/**
 * A mount by the portable transport, as `server.ts` makes one by the kernel's protocol: builds the union and serves it on
 * the main thread, until it is unmounted.
 *
 * Rule: libfuse does not report the end of a mount, so the mount table is polled.
 */
import { setTimeout } from 'node:timers/promises';
import { mountTable } from '../sys/mountinfo.js';
import { toBytes } from '../sys/path-bytes.js';
import { UsageError } from '../sys/refusal.js';
import { detach, FUSE_TYPE } from '../transport/device.js';
import {
  FUSE_NATIVE_OPTIONS,
  loadFuseNative,
  PortableMount,
  type PortableOptions,
} from '../transport/fuse-native.js';
import { MOUNT_FLAGS } from '../transport/mount-flags.js';
import { PathOperations } from '../transport/path-operations.js';
import { UnionFilesystem } from '../union/filesystem.js';
import type { Writable } from '../union/layers/layer.js';
import type { Stack } from '../union/layers/stack.js';
import type { Union } from '../union/nodes/union.js';
import { buildUnion, describeUnion } from './build-union.js';
import type { MountOptions } from './options.js';
import { unionSettings } from './settings.js';
import { DETACH_GRACE_MS, type Serving } from './supervise.js';

/** Interval of polling the mount table. */
const LOOK_MS = 300;
/** Seconds after which layers are read again, because libfuse cannot be notified of changes. */
const LAYERS_TTL = 1;
const SUBTYPE = FUSE_TYPE.replace(/^fuse\./, '');

/** Throws `UsageError` for options that this transport does not support, or if the package cannot be loaded. */
export function checkPortable({ flags = 0, allowOther, writeback, layerChanges }: MountOptions): void {
  const refuse = (what: string): never => {
    throw new UsageError(`${what} is not possible with --transport fuse-native`);
  };
  for (const [name, flag] of Object.entries(MOUNT_FLAGS)) {
    if ((flags & flag) !== 0 && !FUSE_NATIVE_OPTIONS.includes(name)) refuse(`"-o ${name}"`);
  }
  if (allowOther === true) refuse('"-o allow_other"');
  if (writeback === true) refuse('"-o writeback"');
  if (layerChanges === 'watch') refuse('"--layer-changes watch"');
  try {
    loadFuseNative();
  } catch (error) {
    throw new UsageError(`--transport fuse-native: ${(error as Error).message}`);
  }
}

/** Mounts; the union is usable when the promise resolves. Throws `UsageError` if the package fails. */
export async function startPortable(
  options: MountOptions,
  stack: Stack,
  mountpoint: string,
  writable: Writable | undefined,
): Promise<Serving> {
  const settings = unionSettings(options, LAYERS_TTL);
  const union = buildHere({ stack, settings, flags: options.flags ?? 0, writable });
  try {
    const describe = (): unknown => describeUnion({ stack, settings }, union, mount.counts);
    const [uid, gid] = [process.geteuid?.() ?? 0, process.getegid?.() ?? 0];
    const operations = new PathOperations(new UnionFilesystem(union, describe), {
      uid,
      gid,
      pid: process.pid,
    });
    const mount = new PortableMount(mountpoint, operations, portableOptions(options, stack));
    await mount.mount();
    const ended = untilGone(mountpoint).then(async () => {
      await mount.close();
      union.close();
    });
    return { ended, released: ended, end: () => endMount(mountpoint, ended) };
  } catch (error) {
    union.close();
    throw new UsageError(`--transport fuse-native cannot mount: ${(error as Error).message}`);
  }
}

/** Opening the layers changes the working directory, which is the whole process's on this thread. */
function buildHere(data: Parameters<typeof buildUnion>[0]): Union {
  const before = process.cwd();
  try {
    return buildUnion(data);
  } finally {
    process.chdir(before);
  }
}

function portableOptions({ flags = 0, trace = false }: MountOptions, { upper }: Stack): PortableOptions {
  const isRoot = process.geteuid?.() === 0;
  const words = Object.entries(MOUNT_FLAGS).flatMap(([name, flag]) => ((flags & flag) !== 0 ? [name] : []));
  // libfuse forbids both unless told otherwise, which only root may do.
  const allowed = ['suid', 'dev'].filter((word) => !words.includes(`no${word}`));
  return {
    source: 'unionfs',
    subtype: SUBTYPE,
    words: [...new Set([...words, ...(upper === undefined ? ['ro'] : []), ...(isRoot ? allowed : [])])],
    trace,
  };
}

async function endMount(mountpoint: string, ended: Promise<void>): Promise<void> {
  if (!detach(toBytes(mountpoint), false)) {
    await setTimeout(DETACH_GRACE_MS);
    detach(toBytes(mountpoint), true);
  }
  await ended;
}

/** Resolves when the mount that is currently the top one on a directory is gone. */
async function untilGone(mountpoint: string): Promise<void> {
  const path = toBytes(mountpoint);
  const mounted = mountTable().findLast((mount) => mount.mountpoint === path);
  const isThere = (): boolean => mountTable().some(({ id }) => id === mounted?.id);
  while (isThere()) await setTimeout(LOOK_MS);
}
