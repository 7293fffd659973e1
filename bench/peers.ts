// Rule: a peer is mounted the way its users mount it: same layers, same order, and where it has the
// choice, the options that give the semantics we promise (hard links and renames survive copy-up).

import { existsSync } from 'node:fs';
import { release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { type Command, run } from './command.js';
import type { PeerName } from './samples.js';

/** Our program as built beside this harness, whichever directory both were built into. */
const UNIONFS = fileURLToPath(new URL('../bin/unionfs', import.meta.url));
const HERE = fileURLToPath(new URL('.', import.meta.url));

export interface Stack {
  /** Topmost first. */
  readonly lowers: readonly string[];
  readonly upper: string;
  readonly work: string;
  readonly mountPoint: string;
}

export interface Peer {
  /** Whether a process serves the mount, which has to be there and to end with it. */
  readonly userspace: boolean;
  /** Throws where the program is missing; whether it works here, only a mount tells. */
  readonly version: () => string;
  readonly mount: (stack: Stack) => Command;
  readonly unmount: (mountPoint: string) => Command;
}

function overlayOptions({ lowers, upper, work }: Stack, ...more: string[]): string {
  return [`lowerdir=${lowers.join(':')}`, `upperdir=${upper}`, `workdir=${work}`, ...more].join(',');
}

function ourVersion(): string {
  if (!existsSync(UNIONFS)) throw new Error(`"${UNIONFS}" does not exist: build it first`);
  try {
    // Without optional locks: a bench must not get in the way of a commit.
    return run(['git', '--no-optional-locks', '-C', HERE, 'describe', '--always', '--dirty']);
  } catch {
    return 'not a git checkout';
  }
}

const ours: Peer = {
  userspace: true,
  version: ourVersion,
  mount: ({ lowers, upper, work, mountPoint }) => [
    UNIONFS,
    'mount',
    ...['--lower', lowers.join(':')],
    ...['--upper', upper],
    ...['--workdir', work],
    mountPoint,
  ],
  unmount: (mountPoint) => [UNIONFS, 'umount', mountPoint],
};

const overlay: Peer = {
  userspace: false,
  version: () => `Linux ${release()}`,
  mount: (stack) => [
    'mount',
    ...['-t', 'overlay'],
    ...['-o', overlayOptions(stack, 'index=on', 'redirect_dir=on')],
    'overlay',
    stack.mountPoint,
  ],
  unmount: (mountPoint) => ['umount', mountPoint],
};

const fuseOverlayfs: Peer = {
  userspace: true,
  version: () => {
    const version = /fuse-overlayfs: version (\S+)/.exec(run(['fuse-overlayfs', '--version']))?.[1];
    if (version === undefined) throw new Error('"fuse-overlayfs --version" does not tell its version');
    return version;
  },
  mount: (stack) => ['fuse-overlayfs', '-o', overlayOptions(stack), stack.mountPoint],
  unmount: (mountPoint) => ['umount', mountPoint],
};

export const PEERS: Readonly<Record<PeerName, Peer>> = { ours, overlay, 'fuse-overlayfs': fuseOverlayfs };
