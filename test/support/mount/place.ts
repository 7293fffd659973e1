/**
 * The place where one suite works: layers, mountpoints and the program under test, as a user calls it.
 *
 * Rules: everything lies below one directory on a real filesystem. Whatever happens, nothing of it stays: mounts are
 * detached, servers and clients killed, files removed. A suite fails at its end if a server logged an error, because
 * a server logs nothing but bugs.
 */
import { execFile, spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  truncateSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert } from 'chai';
import { cacheDirectory } from '../acceptance/cache.js';
import { missingForMounts, requireConditions } from '../acceptance/conditions.js';
import { LAZY, UNMOUNT } from '../privilege.js';
import { run } from '../run.js';
import { Client, type ClientOptions, type Code, runPython } from './client.js';
import { isRunning, processesNaming, waitUntil } from './processes.js';
import { type Tree, writeTree } from './tree.js';
import { Watchdog } from './watchdog.js';

/** The program as it is installed. */
export const CLI = fileURLToPath(new URL('../../../bin/unionfs', import.meta.url));
const COMMAND_TIMEOUT_MS = 30_000;
const TOOLS = ['python3', 'getfattr', 'setpriv'];
const READABLE = 0o755;

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Layout {
  /** What the lower layers hold, the top one first. */
  readonly lowers: readonly Tree[];
  /** What upper holds before the mount; `false` mounts without an upper. */
  readonly upper?: Tree | false;
  /** More arguments of `unionfs mount`. */
  readonly args?: readonly string[];
}

/** One union and where its parts lie. */
export interface Union {
  readonly lowers: readonly string[];
  readonly upper: string;
  readonly work: string;
  readonly mountpoint: string;
  /** The arguments of `unionfs` that mount it. */
  readonly command: readonly string[];
  /** A path on the mount. */
  at(path: string): string;
  mount(): void;
  /** Unmounts and waits for the server. */
  umount(): void;
  remount(): void;
}

/** A place for the suite that is being described: made before its first test, removed after its last. */
export function usePlace(suite: string, tools: readonly string[] = []): Place {
  const place = new Place();
  before(function () {
    requireConditions(this, suite, missingForMounts([...TOOLS, ...tools]));
    place.open();
  });
  beforeEach(() => place.watch());
  after(() => place.close());
  return place;
}

export class Place {
  #directory: string | undefined;
  #watchdog: Watchdog | undefined;
  readonly #clients = new Set<Client>();
  readonly #works = new Set<string>();

  /** The directory everything lies in. */
  get directory(): string {
    return this.#directory ?? assert.fail('the place is not open');
  }

  path(...names: readonly string[]): string {
    return join(this.directory, ...names);
  }

  /** Makes files and directories below the place. */
  make(tree: Tree): void {
    writeTree(this.directory, tree);
  }

  /** Runs the program under test to its end. */
  unionfs(args: readonly string[], options: { cwd?: string } = {}): Outcome {
    return this.outcome(CLI, args, options);
  }

  /** Runs any program to its end. */
  outcome(command: string, args: readonly string[], options: { cwd?: string } = {}): Outcome {
    const { status, stdout, stderr, error } = spawnSync(command, args, {
      cwd: options.cwd ?? this.directory,
      stdio: ['ignore', 'pipe', 'pipe'],
      encoding: 'utf8',
      timeout: COMMAND_TIMEOUT_MS,
      killSignal: 'SIGKILL',
    });
    if (error !== undefined) throw error;
    return { status, stdout, stderr };
  }

  /** The same while others run. */
  async unionfsAtOnce(args: readonly string[], cwd: string): Promise<Outcome> {
    const options = { cwd, timeout: COMMAND_TIMEOUT_MS, killSignal: 'SIGKILL' } as const;
    return new Promise((resolve) => {
      execFile(CLI, args, options, (error, stdout, stderr) => {
        const status = error === null ? 0 : typeof error.code === 'number' ? error.code : null;
        resolve({ status, stdout, stderr });
      });
    });
  }

  /** Runs the program, which must succeed without a word on standard error. */
  succeed(args: readonly string[], options: { cwd?: string } = {}): string {
    const outcome = this.unionfs(args, options);
    assert.deepEqual(
      { status: outcome.status, stderr: outcome.stderr },
      { status: 0, stderr: '' },
      `unionfs ${args.join(' ')}`,
    );
    return outcome.stdout;
  }

  /** Runs another program, which must succeed, in the place. */
  run(command: string, args: readonly string[], timeoutMs = COMMAND_TIMEOUT_MS): string {
    return run(command, args, { cwd: this.directory, timeoutMs });
  }

  /** Makes the layers of a union below `name`, but does not mount it. */
  layers(name: string, { lowers, upper = {}, args = [] }: Layout): Union {
    const at = (part: string): string => this.path(name, part);
    const paths = lowers.map((_, index) => at(`lower${index}`));
    const union = {
      lowers: paths,
      upper: at('upper'),
      work: at('.upper.unionfs-work'),
      mountpoint: at('merged'),
    };
    this.make(Object.fromEntries(paths.map((_, index) => [`${name}/lower${index}`, lowers[index] ?? {}])));
    this.make({ [`${name}/merged`]: {}, ...(upper !== false && { [`${name}/upper`]: upper }) });
    const writable = upper === false ? [] : ['--upper', union.upper];
    const command = ['mount', '--lower', paths.join(':'), ...writable, ...args, union.mountpoint];
    this.#works.add(union.work);
    const mount = (): void => {
      this.succeed(command);
    };
    const umount = (): void => this.umount(union.mountpoint);
    const remount = (): void => {
      umount();
      mount();
    };
    return { ...union, command, at: (path) => join(union.mountpoint, path), mount, umount, remount };
  }

  /** Makes and mounts a union. */
  union(name: string, layout: Layout): Union {
    const union = this.layers(name, layout);
    union.mount();
    return union;
  }

  /** Unmounts and waits until no server is left. */
  umount(mountpoint: string): void {
    unmount([mountpoint]);
    waitUntil(`the server of "${mountpoint}" ends`, () => processesNaming(mountpoint).length === 0);
  }

  /** Detaches whatever is mounted below a directory, and waits for the servers. */
  detachBelow(directory: string): void {
    for (const mountpoint of mountpointsBelow(directory)) {
      detach(mountpoint);
      waitUntil(`the server of "${mountpoint}" ends`, () => processesNaming(mountpoint).length === 0);
    }
  }

  /** A process of its own that works on the mounts. */
  client(options: ClientOptions = {}): Client {
    const client = new Client({ cwd: this.directory, ...options });
    this.#clients.add(client);
    return client;
  }

  /** Runs one piece of Python in a process of its own; its result is what it assigns to `result`. */
  python<T>(code: Code, args: object = {}, options: ClientOptions = {}): T {
    return runPython<T>(code, args, { cwd: this.directory, ...options });
  }

  // --- life

  open(): void {
    mkdirSync(cacheDirectory(), { recursive: true });
    this.#directory = realpathSync(mkdtempSync(join(cacheDirectory(), 'mount-')));
    chmodSync(this.#directory, READABLE);
    assert(existsForAll(this.#directory), `"${this.#directory}" must be reachable for every user`);
    this.#watchdog = new Watchdog(this.#directory);
  }

  /** Gives the next test its time; a mount that hangs longer than that loses its server. */
  watch(): void {
    this.#watchdog?.feed();
  }

  /** From here on nothing is killed for its slowness: who runs long programs bounds them himself. */
  unwatch(): void {
    this.#watchdog?.stop();
  }

  close(): void {
    if (this.#directory === undefined) return;
    const { directory } = this;
    this.#watchdog?.stop();
    for (const client of this.#clients) client.kill();
    const logged = this.#logged();
    for (const mountpoint of mountpointsBelow(directory)) detach(mountpoint);
    for (const pid of processesNaming(directory)) kill(pid);
    waitUntil('everything started has ended', () => processesNaming(directory).length === 0);
    for (const mountpoint of mountpointsBelow(directory)) unmount([LAZY, mountpoint]);
    run('rm', ['-rf', '--one-file-system', directory]);
    this.#directory = undefined;
    assert.equal(logged, '', 'what servers logged');
  }

  /** What the server of a union has logged, which is taken for expected. */
  takeLog({ work }: Pick<Union, 'work'>): string {
    const log = join(work, 'unionfs.log');
    const text = readIfAny(log);
    if (text !== '') truncateSync(log);
    return text;
  }

  #logged(): string {
    return [...this.#works].map((work) => readIfAny(join(work, 'unionfs.log'))).join('');
  }
}

function readIfAny(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function unmount(args: readonly string[]): void {
  const [command = '', ...first] = UNMOUNT;
  run(command, [...first, ...args]);
}

/** Whatever is there, or nothing. */
function detach(mountpoint: string): void {
  const [command = '', ...first] = UNMOUNT;
  spawnSync(command, [...first, LAZY, mountpoint]);
}

function kill(pid: number): void {
  if (isRunning(pid)) process.kill(pid, 'SIGKILL');
}

const OTHERS_MAY_PASS = 0o001;

/** Whether every directory above is passable for others. */
function existsForAll(path: string): boolean {
  const { stdout } = spawnSync('stat', ['-c', '%a', path], { encoding: 'utf8' });
  const passable = (Number.parseInt(stdout, 8) & OTHERS_MAY_PASS) !== 0;
  return passable && (path === '/' || existsForAll(dirname(path)));
}

/** A line of /proc/self/mounts. */
export interface MountLine {
  readonly source: string;
  readonly mountpoint: string;
  readonly type: string;
  readonly options: readonly string[];
}

/** What the kernel shows in /proc/self/mounts, its octal escapes undone. */
export function mountLines(): MountLine[] {
  const lines = readFileSync('/proc/self/mounts', 'utf8').trimEnd().split('\n');
  const plain = (field = ''): string =>
    field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
  return lines.map((line) => {
    const [source, mountpoint, type = '', options = ''] = line.split(' ');
    return { source: plain(source), mountpoint: plain(mountpoint), type, options: options.split(',') };
  });
}

/** The mount at a path; undefined if there is none. */
export function mountAt(path: string): MountLine | undefined {
  return mountLines().findLast(({ mountpoint }) => mountpoint === path);
}

/** Mountpoints below a directory, the innermost first. */
function mountpointsBelow(directory: string): string[] {
  return mountLines()
    .map(({ mountpoint }) => mountpoint)
    .filter((mountpoint) => mountpoint.startsWith(`${directory}/`))
    .reverse();
}

/** The names in a directory, sorted. */
export function list(directory: string): string[] {
  return readdirSync(directory).sort();
}
