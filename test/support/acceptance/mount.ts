/**
 * The two filesystems that the acceptance tests compare, mounted from the same layers: the union under test,
 * through its command line as a user would, and the kernel's overlayfs.
 *
 * UNIONFS_TEST_PEER=overlay or =fuse-overlayfs puts a peer in the place of the union under test: kernel
 * overlayfs must pass everything, so a test that it fails is a wrong test.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { IS_HOST_ROOT } from '../privilege.js';
import { commandLine, lastLines, run } from '../run.js';

export interface Layers {
  /** Read-only directories, the top one first. */
  readonly lower: readonly string[];
  readonly upper: string;
  readonly work: string;
  readonly mountpoint: string;
}

export interface MountEntry {
  readonly mountpoint: string;
  /** The filesystem's own options, as the kernel accepted them. */
  readonly options: readonly string[];
}

const PEERS = ['unionfs', 'overlay', 'fuse-overlayfs'] as const;
export type Peer = (typeof PEERS)[number];

const CLI = fileURLToPath(new URL('../../../bin/unionfs', import.meta.url));
/** Without the host's root the kernel has neither index nor redirects. */
const KERNEL_FEATURES = IS_HOST_ROOT ? ['index=on', 'redirect_dir=on'] : ['userxattr'];
const MOUNT_TIMEOUT_MS = 60_000;
const DAEMON_EXIT_TIMEOUT_MS = 10_000;
const POLL_MS = 20;

/** Which filesystem stands behind `mountUnion`. */
export function peer(): Peer {
  const { UNIONFS_TEST_PEER = 'unionfs' } = process.env;
  const known = PEERS.find((candidate) => candidate === UNIONFS_TEST_PEER);
  if (!known)
    throw new Error(`UNIONFS_TEST_PEER is "${UNIONFS_TEST_PEER}", expected one of ${PEERS.join(', ')}`);
  return known;
}

/** Mounts the filesystem under test; it is there when this returns. */
export function mountUnion(layers: Layers): void {
  const starters: Record<Peer, () => void> = {
    unionfs: () => startDaemon(CLI, unionArguments(layers), layers.mountpoint),
    'fuse-overlayfs': () =>
      startDaemon(
        'fuse-overlayfs',
        ['-o', `dev,suid,${layerOptions(layers)}`, layers.mountpoint],
        layers.mountpoint,
      ),
    overlay: () => mountKernel(layers),
  };
  starters[peer()]();
  if (!mountAt(layers.mountpoint))
    throw new Error(`mount succeeded, but nothing is at "${layers.mountpoint}"`);
}

/** Unmounts the filesystem under test and waits for its daemon: nobody touches the layers afterwards. */
export function umountUnion(mountpoint: string): void {
  if (peer() === 'unionfs') {
    run(CLI, ['umount', mountpoint], { timeoutMs: MOUNT_TIMEOUT_MS });
  } else {
    run('umount', [mountpoint]);
  }
  if (mountAt(mountpoint)) throw new Error(`umount succeeded, but "${mountpoint}" is still mounted`);
  awaitDaemonExit(mountpoint);
}

/** Mounts kernel overlayfs with the features that the union's layers promise to work with. */
export function mountKernel(layers: Layers): void {
  const options = [layerOptions(layers), ...KERNEL_FEATURES, 'xino=off'].join(',');
  run('mount', ['-t', 'overlay', 'overlay', '-o', options, layers.mountpoint]);
  const accepted = mountAt(layers.mountpoint)?.options ?? [];
  // The kernel falls back to index=off with a mere warning; xino=off is its default and not shown.
  const refused = KERNEL_FEATURES.filter((option) => !accepted.includes(option));
  if (refused.length > 0)
    throw new Error(`kernel overlayfs dropped ${refused.join(', ')}: is this a nested overlay?`);
}

export function umountKernel(mountpoint: string): void {
  run('umount', [mountpoint]);
}

/** Runs `use` on a mounted union and unmounts it again, whatever happens. */
export function withUnion<T>(layers: Layers, use: (root: string) => T): T {
  mountUnion(layers);
  return thenUnmount(layers.mountpoint, use, umountUnion);
}

/** Runs `use` on kernel overlayfs over the same layers and unmounts it again, whatever happens. */
export function withKernel<T>(layers: Layers, use: (root: string) => T): T {
  mountKernel(layers);
  return thenUnmount(layers.mountpoint, use, umountKernel);
}

/** An error of `use` comes first: unmounting often fails as well then, and says less. */
function thenUnmount<T>(mountpoint: string, use: (root: string) => T, unmount: (at: string) => void): T {
  let result: T;
  try {
    result = use(mountpoint);
  } catch (error) {
    spawnSync('umount', [mountpoint], { stdio: 'ignore' }); // else Stage.close() does, lazily
    throw error;
  }
  unmount(mountpoint);
  return result;
}

/** Every mount of this process, the innermost last. */
export function currentMounts(): MountEntry[] {
  const lines = readFileSync('/proc/self/mountinfo', 'latin1').trimEnd().split('\n');
  return lines.map((line) => {
    const fields = line.split(' ');
    return { mountpoint: fields[4] ?? '', options: (fields.at(-1) ?? '').split(',') };
  });
}

function mountAt(mountpoint: string): MountEntry | undefined {
  return currentMounts().findLast((entry) => entry.mountpoint === mountpoint);
}

function unionArguments(layers: Layers): string[] {
  const { lower, upper, work, mountpoint } = layers;
  return ['mount', '--lower', lower.join(':'), '--upper', upper, '--workdir', work, mountpoint];
}

function layerOptions({ lower, upper, work }: Layers): string {
  return `lowerdir=${lower.join(':')},upperdir=${upper},workdir=${work}`;
}

/** Starts a command that goes into the background. Its output goes to a file: a pipe would never close. */
function startDaemon(command: string, args: readonly string[], mountpoint: string): void {
  const log = `${mountpoint}.log`;
  const output = openSync(log, 'a');
  try {
    const stdio = ['ignore', output, output] as const;
    const result = spawnSync(command, args, {
      stdio: [...stdio],
      timeout: MOUNT_TIMEOUT_MS,
      killSignal: 'SIGKILL',
    });
    if (result.status === 0) return;
    const how = result.error?.message ?? `exit ${result.status ?? result.signal}`;
    throw new Error([`${commandLine(command, args)}: ${how}`, ...daemonLog(mountpoint)].join('\n'));
  } finally {
    closeSync(output);
  }
}

/** What the daemon that serves or served `mountpoint` last printed. */
export function daemonLog(mountpoint: string): string[] {
  const log = `${mountpoint}.log`;
  return existsSync(log) ? lastLines('log', readFileSync(log, 'latin1')) : [];
}

function awaitDaemonExit(mountpoint: string): void {
  const deadline = Date.now() + DAEMON_EXIT_TIMEOUT_MS;
  const pause = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  while (processesNaming(mountpoint).length > 0) {
    if (Date.now() > deadline) {
      const left = processesNaming(mountpoint).join(', ');
      throw new Error(`process ${left} outlives the mount "${mountpoint}"`);
    }
    Atomics.wait(pause, 0, 0, POLL_MS);
  }
}

/** The processes with `argument` on their command line. */
function processesNaming(argument: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => argumentsOf(pid).includes(argument));
}

function argumentsOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
  } catch {
    return []; // it ended meanwhile
  }
}
