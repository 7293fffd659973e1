/**
 * Attaches /dev/fuse to a mountpoint: with mount(2) if permitted, otherwise through fusermount3.
 *
 * Rule: an error is one line with the fix.
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

/** By open(2)'s error: the problem of the device, and the usual fix. */
const REFUSED_DEVICE: Readonly<Record<number, readonly [what: string, fix?: string]>> = {
  [E.ENOENT]: ['/dev/fuse is missing', 'modprobe fuse'],
  [E.ENODEV]: ['/dev/fuse exists, but the kernel has no FUSE driver', 'modprobe fuse'],
  [E.ENXIO]: ['/dev/fuse exists, but the kernel has no FUSE driver', 'modprobe fuse'],
  [E.EACCES]: ['cannot open /dev/fuse: permission denied', 'chmod 666 /dev/fuse'],
  [E.EPERM]: ['cannot open /dev/fuse: not permitted in this sandbox'],
};

/** Opens the device for a mount on `mountpoint`. Throws an error with the fix. */
export function openFuse(mountpoint: string): number {
  const user = process.geteuid?.();
  try {
    if (user !== ROOT) accessSync(forNode(mountpoint), constants.W_OK);
  } catch {
    throw new UsageError(`"${mountpoint}" is not writable by uid ${user}; choose a mountpoint that is`);
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

/** Mounts the device of `openFuse`, and takes it over. @returns the descriptor to serve */
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
      `${user} cannot mount on "${mountpoint}" without fusermount3`,
      'install the package "fuse3", or use "unionfs exec"',
    );
  }
  const { said } = refusal;
  if (said.includes('user_allow_other')) {
    return new HostError(
      'fusermount3 refused "-o allow_other"',
      'add the line "user_allow_other" to /etc/fuse.conf',
    );
  }
  if (said === 'could not determine username') {
    return new HostError(
      'fusermount3 works only for users with a name',
      `add ${user} to /etc/passwd, or use "unionfs exec"`,
    );
  }
  return new HostError(`fusermount3 refused to mount on "${mountpoint}" for ${user}: ${said}`);
}

/** What /proc/mounts shows as source. */
function describe({ lowers, upper, work }: Stack): string {
  const layers = `lowerdir=${joinLayers(lowers)}`;
  return upper === undefined || work === undefined
    ? layers
    : `${layers},upperdir=${joinLayers([upper])},workdir=${joinLayers([work])}`;
}
