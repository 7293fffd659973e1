/**
 * Ordinary users, made for a suite and removed with it, and commands that they run.
 *
 * Rules: every command has a mount namespace of its own, in which the user reaches the project and /dev/fuse whatever
 * their permissions are here, and in which parts of the host can be missing. Nothing of it is seen outside.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert } from 'chai';
import type { Outcome } from '../mount/place.js';
import { run } from '../run.js';

const PROJECT = fileURLToPath(new URL('../../../..', import.meta.url));
const TIMEOUT_MS = 60_000;
const OUTPUT_MAX = 64 * 1024 * 1024;
const HOMES_MODE = 0o755;
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** $1 project, $2 mode of /dev/fuse, $3 more to be done as root. */
const SETTING = `
project=$1 mode=$2 more=$3; shift 3
mount -t tmpfs -o mode=755 none /mnt
mkdir /mnt/project
mount --bind "$project" /mnt/project
mknod -m "$mode" /mnt/fuse c 10 229
mount --bind /mnt/fuse /dev/fuse
eval "$more"
exec "$@"
`;

/** What is different from an ordinary host. */
export interface Host {
  /** Programs that cannot be executed, by their names. */
  readonly without?: readonly string[];
  /** /dev/fuse is there and may not be opened. */
  readonly refusesFuse?: true;
  /** A script that root runs before, in the namespace; /mnt is its own. */
  readonly prepared?: string;
  /** More options of setpriv(1). */
  readonly setpriv?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Instead of the account's own. */
  readonly uid?: number;
  readonly cwd?: string;
  readonly timeoutMs?: number;
}

export class Account {
  readonly name: string;
  readonly home: string;
  readonly uid: number;

  /** @param ranges whether it has subordinate ids */
  constructor(name: string, ranges: boolean) {
    this.name = name;
    const homes = mkdtempSync(join(tmpdir(), 'rootless-'));
    run('chmod', [HOMES_MODE.toString(8), homes]);
    this.home = join(homes, 'home');
    run('useradd', ['--system', '--user-group', '--no-create-home', '--home-dir', this.home, name]);
    this.uid = Number(run('id', ['-u', name]));
    mkdirSync(this.home);
    chownSync(this.home, this.uid, Number(run('id', ['-g', name])));
    if (ranges) {
      const first = 700_000_000 + this.uid * 100_000; // far from what useradd(8) hands out
      for (const file of ['/etc/subuid', '/etc/subgid']) appendFileSync(file, `${name}:${first}:65536\n`);
    }
  }

  remove(): void {
    for (const line of this.processes()) process.kill(Number.parseInt(line, 10), 'SIGKILL');
    run('sh', ['-c', `timeout 10 sh -c 'while pgrep -u ${this.uid} >/dev/null; do sleep 0.1; done'`]);
    run('userdel', [this.name]);
    for (const file of ['/etc/subuid', '/etc/subgid']) run('sed', ['-i', `/^${this.name}:/d`, file]);
    rmSync(join(this.home, '..'), { recursive: true, force: true });
    rmSync(join(tmpdir(), `tscr-${this.uid}`), { recursive: true, force: true }); // the state of its containers
  }

  path(...names: readonly string[]): string {
    return join(this.home, ...names);
  }

  #words(command: readonly string[], host: Host): string[] {
    const { without = [], refusesFuse, prepared = '', setpriv = [], env = {}, uid, cwd = this.home } = host;
    const hidden = without.map((name) => `mount --bind /dev/null "$(command -v ${name})"`);
    const variables = Object.entries({ PATH, HOME: this.home, ...env }).map(
      ([name, value]) => `${name}=${value}`,
    );
    const ids =
      uid === undefined
        ? ['--reuid', this.name, '--regid', this.name, '--init-groups']
        : [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'];
    const more = [...hidden, prepared, `cd ${cwd}`].join('\n');
    return [
      ...['--mount', '--propagation', 'private', 'sh', '-euc', SETTING, 'sh'],
      ...[PROJECT, refusesFuse ? '600' : '666', more],
      ...[
        'setpriv',
        ...ids,
        ...setpriv,
        'env',
        '-i',
        ...variables.filter((text) => !text.endsWith('=')),
        ...command,
      ],
    ];
  }

  run(command: readonly string[], host: Host = {}): Outcome {
    const { status, stdout, stderr, error } = spawnSync('unshare', this.#words(command, host), {
      encoding: 'utf8',
      timeout: host.timeoutMs ?? TIMEOUT_MS,
      maxBuffer: OUTPUT_MAX,
      killSignal: 'SIGKILL',
    });
    if (error !== undefined) throw error;
    return { status, stdout, stderr };
  }

  tscr(args: readonly string[], host: Host = {}): Outcome {
    return this.run(['/mnt/project/dist/bin/tscr', ...args], host);
  }

  unionfs(args: readonly string[], host: Host = {}): Outcome {
    return this.run(['/mnt/project/dist/bin/unionfs', ...args], host);
  }

  /** What `tscr` writes; it must succeed without a word on standard error. */
  succeed(args: readonly string[], host: Host = {}): string {
    const { status, stdout, stderr } = this.tscr(args, host);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' }, `tscr ${args.join(' ')}`);
    return stdout;
  }

  /** A program that is running; the process is the one that the user started. */
  start(program: 'tscr' | 'unionfs', args: readonly string[]): ChildProcess {
    const command = ['node', `/mnt/project/dist/bin/${program}.js`, ...args];
    return spawn('unshare', this.#words(command, {}), { stdio: ['ignore', 'pipe', 'inherit'] });
  }

  /** Processes of the account, by the ids of whatever they run in; zombies do not count. */
  processes(): string[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap((pid) => {
        const environ = contentOf(`/proc/${pid}/environ`);
        const isOurs =
          environ.includes(`HOME=${this.home}\0`) || contentOf(`/proc/${pid}/mounts`).includes(this.home);
        return isOurs ? [`${pid}: ${contentOf(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')}`] : [];
      });
  }
}

function contentOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

/** Settles when the process has written `text`. */
export function saying(child: ChildProcess, text: string): Promise<void> {
  let seen = '';
  return new Promise((resolve, reject) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      seen += chunk.toString();
      if (seen.includes(text)) resolve();
    });
    child.once('exit', () => reject(new Error(`ended after "${seen}"`)));
  });
}

/** The exit code, or the signal. */
export const endOf = (child: ChildProcess): Promise<number | string | null> =>
  new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
