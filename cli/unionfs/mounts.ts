/**
 * The mounts of this machine, from /proc/self/mountinfo (proc(5)) and from their servers.
 *
 * Rule: a stopped or busy server must not block commands that only query it. STATFS is never answered from the kernel's
 * cache, so a child process tries it first, and is abandoned if there is no answer in time. Paths are resolved name by
 * name, and below a union only if its server answers.
 */
import { spawn } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { readInspection, UsageError } from '../../fs/index.js';
import { checkDocument, DocumentError } from '../../fs/input/document.js';
import {
  absolutePath,
  count,
  either,
  flag,
  listOf,
  mapOf,
  type Output,
  optional,
  struct,
  text,
} from '../../fs/input/schema.js';
import { absolute } from '../../fs/layers.js';
import { AT, O } from '../../fs/sys/constants.js';
import { E, Errno } from '../../fs/sys/errno.js';
import { innermostMount, mountTable } from '../../fs/sys/mountinfo.js';
import { forNode, toBytes, toText } from '../../fs/sys/path-bytes.js';
import { close, openat } from '../../fs/sys/syscalls.js';
import { FUSE_TYPE } from '../../fs/transport/device.js';
import { startable } from '../../runtime/command/byte-command.js';

/** The inspection data of a mount (`describeUnion` in fs/mount/serve-union.ts). Another program's server may answer. */
export const INSPECTION = struct({
  lowers: listOf(absolutePath),
  upper: optional(absolutePath),
  work: optional(absolutePath),
  pid: count,
  settings: struct({
    volatile: flag,
    descriptors: count,
    layerChanges: either([text, count], 'a string or a number'),
  }),
  whiteoutXattrs: optional(text),
  counters: struct({
    nodes: count,
    watches: count,
    copiedUpFiles: count,
    copiedUpBytes: count,
    requests: mapOf(count, 0),
  }),
});
export type Inspection = Output<typeof INSPECTION>;

/** The state of a mount: its server answers, has ended, does not answer in time, is not accessible, or is not unionfs. */
export type MountState =
  | { readonly state: 'live'; readonly inspection: Inspection }
  | { readonly state: 'gone' | 'silent' | 'closed' | 'strange' };

export interface MountEntry {
  readonly mountpoint: string;
  readonly type: string;
}

/** All mounts, in the order of mounting. */
export function mounts(): MountEntry[] {
  return mountTable().map(({ mountpoint, type }) => ({
    mountpoint: toText(mountpoint),
    type,
  }));
}

/** The live unions' mountpoints. */
export function unionMounts(): string[] {
  return mounts()
    .filter(({ type }) => type === FUSE_TYPE)
    .map(({ mountpoint }) => mountpoint);
}

// --- queries

/** Timeout of a query; a copy-up of some hundred megabytes takes as long. */
const PATIENCE_MS = 2000;
/** Maximum number of parallel queries. */
const AT_ONCE = 16;

/** Programs that call statfs(2): stat(1) of coreutils or busybox, or a Node, which takes longer to start. */
const ASKING: readonly (readonly [command: string, ...args: string[]])[] = [
  ['stat', '-f', '--'],
  [process.execPath, '-e', 'require("fs").statfsSync(process.argv[1])', '--'],
];

/** Whether the kernel gets an answer, or an error, from a mount's server in time. */
async function answers(mountpoint: string): Promise<boolean> {
  for (const [command, ...args] of ASKING) {
    const outcome = await runInTime(command, [...args, mountpoint]);
    if (outcome !== 'missing') return outcome === 'ended';
  }
  return true;
}

/** A process that waits for a server may ignore even SIGKILL, so it is not waited for. */
function runInTime(command: string, args: readonly string[]): Promise<'ended' | 'late' | 'missing'> {
  return new Promise((resolve) => {
    const {
      command: program,
      args: words,
      env,
    } = startable({ command, args, env: process.env as Record<string, string> });
    const child = spawn(program, words, { stdio: 'ignore', env });
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      child.unref();
      resolve('late');
    }, PATIENCE_MS);
    const settle = (outcome: 'ended' | 'missing'): void => {
      clearTimeout(timer);
      resolve(outcome);
    };
    child.on('error', () => settle('missing'));
    child.on('exit', () => settle('ended'));
  });
}

/** Queries a mount. */
export async function inspectMount(mountpoint: string): Promise<MountState> {
  if (!(await answers(mountpoint))) return { state: 'silent' };
  try {
    const fd = openat(AT.FDCWD, toBytes(mountpoint), O.RDONLY | O.DIRECTORY);
    try {
      const mountState = readInspection(fd);
      if (mountState === undefined) return { state: 'gone' };
      return { state: 'live', inspection: checkDocument(INSPECTION, mountState, 'the inspection') };
    } finally {
      close(fd);
    }
  } catch (error) {
    if (error instanceof DocumentError) return { state: 'strange' };
    if (!(error instanceof Errno)) throw error;
    return { state: error.code === E.EACCES ? 'closed' : 'gone' };
  }
}

/** Queries all unions, in the order of mounting. */
export async function inspectAll(): Promise<(MountState & { readonly mountpoint: string })[]> {
  const asked = unionMounts();
  const mountState: (MountState & { readonly mountpoint: string })[] = [];
  while (mountState.length < asked.length) {
    const some = asked.slice(mountState.length, mountState.length + AT_ONCE);
    const answered = some.map(async (mountpoint) => ({ mountpoint, ...(await inspectMount(mountpoint)) }));
    mountState.push(...(await Promise.all(answered)));
  }
  return mountState;
}

/** Error messages for mounts that cannot be inspected. */
export const WITHOUT_INSPECTION: Readonly<
  Record<Exclude<MountState['state'], 'live'>, (path: string) => string>
> = {
  gone: (path) => `the server of "${path}" has ended; unmount it with "unionfs umount"`,
  silent: (path) =>
    `the server of "${path}" does not answer; it is stopped or busy; detach the mount with "unionfs umount --lazy"`,
  closed: (path) => `"${path}" is accessible only to the user who mounted it`,
  strange: (path) => `the mount at "${path}" does not answer as unionfs does; another program serves it`,
};

/** The inspection of a mount. Throws `UsageError` if there is none. */
export async function requireInspection(mountpoint: string): Promise<Inspection> {
  const mountState = await inspectMount(mountpoint);
  if (mountState.state === 'live') return mountState.inspection;
  throw new UsageError(WITHOUT_INSPECTION[mountState.state](mountpoint));
}

// --- paths

/** As path_resolution(7). */
const MAX_SYMLINKS = 40;

/**
 * The canonical path, as in mountinfo, even of a mountpoint whose server has ended or is stopped. Throws `UsageError` if
 * it leads through a union whose server does not answer.
 */
export async function canonical(path: string): Promise<string> {
  const table = mounts();
  const unions = new Set(table.filter(({ type }) => type === FUSE_TYPE).map(({ mountpoint }) => mountpoint));
  const answering = new Map<string, boolean>();
  const names = absolute(path).split('/');
  let at = '/';
  for (let links = 0; ; ) {
    const name = names.shift();
    if (name === undefined) return at;
    if (name === '' || name === '.') continue;
    const next = name === '..' ? dirname(at) : join(at, name);
    if (name === '..' || unions.has(next)) {
      at = next;
      continue;
    }
    const below = innermostMount(table, at);
    if (below?.type === FUSE_TYPE) await requireAnswer(below.mountpoint, answering);
    const target = links < MAX_SYMLINKS ? symlinkTarget(next) : undefined;
    if (target === undefined) {
      at = next;
      continue;
    }
    links++;
    names.unshift(...target.split('/'));
    if (isAbsolute(target)) at = '/';
  }
}

async function requireAnswer(mountpoint: string, known: Map<string, boolean>): Promise<void> {
  const answer = known.get(mountpoint) ?? (await answers(mountpoint));
  known.set(mountpoint, answer);
  if (!answer) throw new UsageError(WITHOUT_INSPECTION.silent(mountpoint));
}

/** Undefined if it is not a symlink, or not accessible. */
function symlinkTarget(path: string): string | undefined {
  try {
    return toText(readlinkSync(forNode(path), 'latin1'));
  } catch {
    return undefined;
  }
}

/** The mountpoint at a path. Throws `UsageError` if there is none. */
export async function unionMountAt(path: string): Promise<string> {
  const wanted = await canonical(path);
  if (!unionMounts().includes(wanted)) throw new UsageError(`"${path}" is not a unionfs mountpoint`);
  return wanted;
}

/** The union that contains a path, and the path inside it. */
export function unionOf(path: string): { mountpoint: string; inner: string } | undefined {
  const found = innermostMount(mounts(), path);
  if (found === undefined || found.type !== FUSE_TYPE) return undefined;
  return { mountpoint: found.mountpoint, inner: path.slice(found.mountpoint.length) };
}
