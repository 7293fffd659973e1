/**
 * Podman and Buildah with a mount program of the test's choice, as root or as an ordinary user with subordinate ids.
 *
 * Rules: every engine has a mount namespace of its own, which ends with it, and so does what it left mounted. There
 * the user has a name, ids and a /dev/fuse, whatever this machine has given him.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Place } from '../mount/place.js';
import { processesNaming, waitUntil } from '../mount/processes.js';
import { run } from '../run.js';
import { SUBIDS, USER } from './as-user.js';

const PROJECT = fileURLToPath(new URL('../../../..', import.meta.url));
const SUBID_COUNT = 65_536;
const COMMAND_TIMEOUT_MS = 600_000;
/** Podman asks for more than a machine without CAP_SYS_RESOURCE may give. */
export const LIMITS = ['--ulimit', 'nofile=1000:1000', '--ulimit', 'nproc=1000:1000'];

/** Podman takes no long path for it. */
const RUN_ROOT = '/mnt/run';

/** "$1" is the project, "$2" the engine's directory, "$3" its RUN_ROOT; what lies in its "etc" replaces what lies in a copy of /etc: a
 * file that is bound there vanishes when another process of the machine replaces what it covers (useradd). */
const ENTER = `
  mount -t tmpfs -o mode=755 none /mnt
  mkdir /mnt/project && mount --bind "$1" /mnt/project
  mknod /mnt/fuse c 10 229 && chmod 666 /mnt/fuse && mount --bind /mnt/fuse /dev/fuse
  cp -a /etc /mnt/etc && cp "$2"/etc/* /mnt/etc && mount --bind /mnt/etc /etc
  mkdir "$3" && chown --reference="$2/home" "$3"
  touch "$2/entered"
  exec sleep infinity
`;

export type MountProgram = 'unionfs-overlay' | 'fuse-overlayfs';

export class Engine {
  /** Where its storage lies. */
  readonly storage: string;
  readonly #directory: string;
  readonly #isRoot: boolean;
  readonly #holder: ChildProcess;
  readonly #global: readonly string[];

  /** @param name a name for its directory in `place` */
  constructor(place: Place, name: string, isRoot: boolean, program: MountProgram) {
    this.#directory = place.path(name);
    this.#isRoot = isRoot;
    this.storage = place.path(name, 'storage');
    const user = `ordinary:x:${USER}:${USER}::${place.path(name, 'home')}:/bin/sh\n`;
    const ids = `ordinary:${SUBIDS}:${SUBID_COUNT}\n`;
    const etc = {
      passwd: readFileSync('/etc/passwd', 'utf8') + user,
      group: `${readFileSync('/etc/group', 'utf8')}ordinary:x:${USER}:\n`,
      subuid: ids,
      subgid: ids,
    };
    place.make({ [name]: { etc, home: { tmp: {} }, storage: {}, runtime: {} } });
    chmodSync(place.path(name, 'runtime'), 0o700);
    if (!isRoot) run('chown', ['-R', `${USER}:${USER}`, this.#directory]);
    this.#global = [
      ...['--root', this.storage, '--runroot', RUN_ROOT],
      ...['--storage-driver', 'overlay', '--storage-opt', `overlay.mount_program=${this.#install(program)}`],
    ];
    const apart = ['--mount', '--propagation', 'private'];
    const enter = ['sh', '-euc', ENTER, 'sh', PROJECT, this.#directory, RUN_ROOT];
    this.#holder = spawn('unshare', [...apart, ...enter], { stdio: ['ignore', 'ignore', 'inherit'] });
    waitUntil('the engine has its namespace', () => existsSync(place.path(name, 'entered')));
  }

  /** The path of the program; ours is not installed here, so that it needs a name. */
  #install(program: MountProgram): string {
    if (program === 'fuse-overlayfs') return '/usr/bin/fuse-overlayfs';
    const link = join(this.#directory, program);
    symlinkSync('/mnt/project/dist/bin/unionfs', link);
    return link;
  }

  podman(...args: readonly string[]): string {
    const runtime = ['--runtime', 'runc', '--cgroup-manager', 'cgroupfs', '--events-backend', 'none'];
    return this.#run('podman', [...this.#global, ...runtime, ...args]);
  }

  buildah(...args: readonly string[]): string {
    return this.#run('buildah', [...this.#global, ...args]);
  }

  #run(command: string, args: readonly string[]): string {
    const home = join(this.#directory, 'home');
    const enter = [`--target=${this.#holder.pid}`, '--mount', '--', 'env', '-C', home];
    const become = this.#isRoot ? [] : ['setpriv', `--reuid=${USER}`, `--regid=${USER}`, '--clear-groups'];
    return run('nsenter', [...enter, ...become, command, ...args], {
      env: {
        ...process.env,
        HOME: home,
        TMPDIR: join(home, 'tmp'),
        XDG_RUNTIME_DIR: join(this.#directory, 'runtime'),
      },
      timeoutMs: COMMAND_TIMEOUT_MS,
    });
  }

  /** The processes that have something of its storage on their command line. */
  processes(): number[] {
    return processesNaming(this.storage);
  }

  close(): void {
    if (!this.#isRoot) this.podman('system', 'migrate'); // ends the process that holds the user's namespace
    this.#holder.kill('SIGKILL');
  }
}
