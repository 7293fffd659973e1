/**
 * A shell script run with a directory as its root, in mount and process namespaces of its own.
 *
 * Mounts made for the script (proc, dev) vanish with its last process, and every process it leaves behind
 * dies with it: neither can keep the union busy afterwards.
 */
import { type RunOptions, run } from '../run.js';

export type SystemMount = 'proc' | 'dev';

export interface ChrootOptions extends RunOptions {
  /** What to mount below the root, on the directory of the same name. */
  readonly mounts?: readonly SystemMount[];
}

const MOUNT_COMMANDS: Record<SystemMount, string> = {
  proc: 'mount -t proc proc "$1/proc"',
  dev: 'mount --rbind /dev "$1/dev"',
};

const NAMESPACES = ['--mount', '--pid', '--fork', '--kill-child=SIGKILL'];

/** Runs `script` with /bin/sh, stopping at the first failing command. Returns what it printed; its trace is in the error. */
export function runInRoot(root: string, script: string, options: ChrootOptions = {}): string {
  const { mounts = [], env = {}, ...rest } = options;
  const enter = [...mounts.map((name) => MOUNT_COMMANDS[name]), 'exec chroot "$1" /bin/sh -euxc "$2"'];
  return run('unshare', [...NAMESPACES, 'sh', '-euc', enter.join('\n'), 'sh', root, script], {
    ...rest,
    env: {
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      HOME: '/root',
      LC_ALL: 'C',
      ...env,
    },
  });
}
