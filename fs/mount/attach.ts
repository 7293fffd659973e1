/**
 * A union gets its place in the tree: as whoever may call mount(2), or through fusermount3.
 *
 * Rule: a refusal is one line that says what to do about it.
 */
import { accessSync, constants } from 'node:fs';
import { ASK_DOCTOR } from '../sys/advice.js';
import { MS } from '../sys/constants.js';
import { E, Errno } from '../sys/errno.js';
import { forNode, toBytes } from '../sys/path-bytes.js';
import { HostError, UsageError } from '../sys/refusal.js';
import { close } from '../sys/syscalls.js';
import { attach, attachByHelper, type MountRequest, openDevice } from '../transport/device.js';
import type { Refusal } from '../transport/fusermount.js';
import { joinLayers, type Stack } from '../union/layers/stack.js';
import type { MountOptions } from './options.js';

const ROOT = 0;

/** By open(2)'s error, what is wrong with the device, and what usually mends it. */
const REFUSED_DEVICE: Readonly<Record<number, readonly [what: string, fix?: string]>> = {
  [E.ENOENT]: ['/dev/fuse is missing', 'modprobe fuse'],
  [E.ENODEV]: ['there is no FUSE behind /dev/fuse', 'modprobe fuse'],
  [E.ENXIO]: ['there is no FUSE behind /dev/fuse', 'modprobe fuse'],
  [E.EACCES]: ['/dev/fuse may not be opened by this user', 'chmod 666 /dev/fuse'],
  [E.EPERM]: ['/dev/fuse may not be opened in this sandbox'],
};

/** Opens the device for a mount on `mountpoint`, or says what to do. */
export function openFuse(mountpoint: string): number {
  const user = process.geteuid?.();
  try {
    if (user !== ROOT) accessSync(forNode(mountpoint), constants.W_OK);
  } catch {
    throw new UsageError(`"${mountpoint}" is not writable by uid ${user}; mount on a directory that is`);
  }
  try {
    return openDevice();
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    const [what, fix] = REFUSED_DEVICE[error.code] ?? [];
    if (what === undefined) throw error;
    throw new HostError(what, fix === undefined ? ASK_DOCTOR : `as root, run "${fix}", or ${ASK_DOCTOR}`);
  }
}

/** Mounts the device of `openFuse`, which is not the caller's any more; the descriptor to serve. */
export function attachFuse(device: number, options: MountOptions, stack: Stack, mountpoint: string): number {
  const flags = (options.flags ?? 0) | (stack.upper === undefined ? MS.RDONLY : 0);
  const request = {
    mountpoint: toBytes(mountpoint),
    source: toBytes(options.source ?? describe(stack)),
    flags,
    ...(options.context !== undefined && { context: options.context }),
  };
  if (attachOrClose(device, request)) return device;
  if (options.context !== undefined)
    throw new HostError('"-o context" takes the right to call mount(2)', 'run "unionfs mount" as root');
  const attached = attachByHelper(request, options.allowOther ?? false);
  if (typeof attached === 'number') return attached;
  throw explain(attached, mountpoint);
}

function attachOrClose(device: number, request: MountRequest): boolean {
  let attached = false;
  try {
    attached = attach(device, request);
    return attached;
  } finally {
    if (!attached) close(device);
  }
}

function explain(refusal: Refusal, mountpoint: string): HostError {
  const user = `uid ${process.getuid?.()}`;
  if ('missing' in refusal) {
    return new HostError(
      `${user} may not mount on "${mountpoint}" without fusermount3`,
      'install the package "fuse3", or use "unionfs exec"',
    );
  }
  const { said } = refusal;
  if (said.includes('user_allow_other')) {
    return new HostError(
      'fusermount3 refuses "-o allow_other"',
      'add the line "user_allow_other" to /etc/fuse.conf',
    );
  }
  if (said === 'could not determine username') {
    return new HostError(
      'fusermount3 serves named users only',
      `add ${user} to /etc/passwd, or use "unionfs exec"`,
    );
  }
  return new HostError(`fusermount3 refuses ${user} the mount on "${mountpoint}": ${said}`);
}

/** What /proc/mounts shows as source. */
function describe({ lowers, upper, work }: Stack): string {
  const layers = `lowerdir=${joinLayers(lowers)}`;
  return upper === undefined || work === undefined
    ? layers
    : `${layers},upperdir=${joinLayers([upper])},workdir=${joinLayers([work])}`;
}
