/**
 * Bundles for tests: a busybox root, a config.json, and the runtimes that run them.
 *
 * Rules: everything lies below one directory and is removed after the suite, which fails if a process or a mount of
 * it is left.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert } from 'chai';
import { defaultSpec } from '../../../runtime/container/spec/default-spec.js';
import type { LinuxSpec, ProcessSpec, RuntimeSpec } from '../../../runtime/container/spec/runtime-spec.js';
import { processesNaming, waitUntil } from '../mount/processes.js';
import { type Tree, writeTree } from '../mount/tree.js';
import { run } from '../run.js';

const DRIVER = fileURLToPath(new URL('./driver.js', import.meta.url));
const BUSYBOX = '/bin/busybox';
const TIMEOUT_MS = 30_000;
const EVERYBODYS = '1777';

const PASSWD = 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n';

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface BundleOptions {
  readonly process?: Partial<ProcessSpec>;
  readonly linux?: Partial<LinuxSpec>;
  readonly root?: Partial<RuntimeSpec['root']>;
  readonly spec?: Partial<RuntimeSpec>;
  readonly tree?: Tree;
}

/** The command line that runs a script in the container's shell. */
export const shell = (script: string): string[] => ['/bin/sh', '-c', script];

export class Bundle {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  at(...names: readonly string[]): string {
    return join(this.directory, ...names);
  }

  /** A path in the container's root. */
  inRoot(path: string): string {
    return join(this.directory, 'rootfs', path);
  }

  /** Runs our runtime to the end of the container. */
  run(options: object = {}, spawnOptions: { input?: string; stdio?: (number | 'pipe')[] } = {}): Outcome {
    return outcome(process.execPath, [DRIVER, this.directory, JSON.stringify(options)], spawnOptions);
  }

  /** Runs our runtime from a shell that puts something before and after the command line. */
  pipeline(after: string, before = ''): Outcome {
    const script = `${before} "$1" "$2" "$3" ${after}`;
    return outcome('bash', ['-c', script, 'bash', process.execPath, DRIVER, this.directory]);
  }

  /** The same with another command. */
  exec(script: string, options: object = {}): Outcome {
    this.change((spec) => ({ ...spec, process: { ...spec.process, args: shell(script) } }));
    return this.run(options);
  }

  /** Runs a script that must succeed, and gives its output. */
  output(script: string): string {
    const { status, stdout, stderr } = this.exec(script);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' }, script);
    return stdout.trimEnd();
  }

  /** Starts our runtime and waits until the command runs; gives the supervisor and the command's pid. */
  start(options: object = {}): { supervisor: ChildProcess; pid: number } {
    rmSync(this.at('pid'), { force: true });
    const supervisor = this.spawn(options);
    waitUntil('the container runs', () => existsSync(this.at('pid')) && this.pid() > 0);
    return { supervisor, pid: this.pid() };
  }

  /** Starts our runtime. */
  spawn(options: object = {}): ChildProcess {
    return spawn(process.execPath, [DRIVER, this.directory, JSON.stringify(options)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  }

  pid(): number {
    return Number(readFileSync(this.at('pid'), 'utf8'));
  }

  runc(): Outcome {
    return runc(this.directory);
  }

  crun(): Outcome {
    return crun(this.directory);
  }

  spec(): RuntimeSpec {
    return JSON.parse(readFileSync(this.at('config.json'), 'utf8')) as RuntimeSpec;
  }

  change(change: (spec: RuntimeSpec) => RuntimeSpec): void {
    writeFileSync(this.at('config.json'), JSON.stringify(change(this.spec())));
  }
}

export function runc(bundle: string): Outcome {
  return outcome('runc', ['run', '--bundle', bundle, `tscr-test-${process.pid}`]);
}

/** crun knows no hybrid control groups: it gets a view of the host without the unified hierarchy. */
export function crun(bundle: string): Outcome {
  const script = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec crun run --bundle "$1" "$2"';
  return outcome('unshare', ['--mount', 'sh', '-c', script, 'sh', bundle, `tscr-test-${process.pid}`]);
}

export function outcome(
  command: string,
  args: readonly string[],
  { input = '', stdio = ['pipe', 'pipe', 'pipe'] }: { input?: string; stdio?: (number | 'pipe')[] } = {},
): Outcome {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    input,
    stdio,
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
  if (error !== undefined) throw error;
  return { status, stdout, stderr };
}

/** A place for a suite's bundles. */
export class Bundles {
  readonly directory = mkdtempSync(join(tmpdir(), 'tscr-bundle-'));
  #count = 0;

  /** A bundle with a busybox root of its own; by default the default specification, writable, with a shell. */
  bundle({ process = {}, linux = {}, root = {}, spec = {}, tree = {} }: BundleOptions = {}): Bundle {
    const bundle = new Bundle(join(this.directory, `b${this.#count++}`));
    for (const name of ['bin', 'etc', 'proc', 'sys', 'dev', 'tmp', 'root', 'home/user'])
      mkdirSync(bundle.inRoot(name), { recursive: true });
    copyFileSync(BUSYBOX, bundle.inRoot('bin/busybox'));
    run('chmod', ['-R', 'go+rX', this.directory]);
    run('chmod', [EVERYBODYS, bundle.inRoot('tmp')]);
    run('chroot', [bundle.inRoot('/'), '/bin/busybox', '--install', '-s', '/bin']);
    writeTree(bundle.inRoot('/'), { 'etc/passwd': PASSWD, ...tree });
    const base = defaultSpec();
    const whole: RuntimeSpec = {
      ...base,
      ...spec,
      process: { ...base.process, args: shell('true'), ...process },
      root: { path: 'rootfs', readonly: false, ...root },
      linux: { ...base.linux, ...linux },
    };
    writeFileSync(bundle.at('config.json'), JSON.stringify(whole));
    return bundle;
  }

  /** Makes a file executable; or makes an executable copy of it. */
  execute(path: string, copy = path): void {
    mkdirSync(dirname(copy), { recursive: true });
    if (copy !== path) copyFileSync(BUSYBOX, copy);
    chmodSync(copy, 0o755);
  }

  /** Puts a program of the host's and the libraries it needs into a bundle's root. */
  addHostProgram(bundle: Bundle, program: string): void {
    const path = run('which', [program]).trim();
    const name = basename(path);
    const libraries = run('ldd', [path]).match(/\/\S+/g) ?? [];
    for (const file of libraries) {
      mkdirSync(dirname(bundle.inRoot(file)), { recursive: true });
      copyFileSync(file, bundle.inRoot(file));
    }
    rmSync(bundle.inRoot(`bin/${name}`), { force: true }); // busybox's
    copyFileSync(path, bundle.inRoot(`bin/${name}`));
    run('chmod', ['-R', 'go+rX', bundle.inRoot('/')]);
  }

  /** Compiles C. */
  compile(source: string, path: string, options: readonly string[]): void {
    writeFileSync(`${path}.c`, source);
    run('gcc', ['-w', '-O1', ...options, '-o', path, `${path}.c`]);
    rmSync(`${path}.c`);
  }

  /** Removes everything; fails if something is left that runs or is mounted. */
  close(): void {
    const left = (): number[] => processesNaming(this.directory);
    waitUntil('every supervisor has ended', () => left().length === 0);
    const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
    rmSync(this.directory, { recursive: true, force: true });
    assert.isEmpty(mounts.filter((line) => line.includes(this.directory)));
  }
}

/** Bundles for the suite that is being described. */
export function useBundles(): Bundles {
  const bundles = new Bundles();
  after(() => bundles.close());
  return bundles;
}
