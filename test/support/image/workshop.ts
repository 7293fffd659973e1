/**
 * Where the tests of images work: a directory of its own with a store, `tscr`, and the tools of others.
 *
 * Rule: whatever happens, nothing stays: not in the host's stores of podman and buildah either, whose roots lie here.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert } from 'chai';
import { cacheDirectory } from '../acceptance/cache.js';
import { run } from '../run.js';

/** The repository. */
const REPOSITORY = fileURLToPath(new URL('../../../..', import.meta.url));
const PROGRAM = fileURLToPath(new URL('../../../bin/tscr', import.meta.url));
const TIMEOUT_MS = 60_000;
const MAX_OUTPUT = 64 * 1024 * 1024;

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What `images --json` tells. */
export interface ListedImage {
  readonly Id: string;
  readonly RepoTags: readonly string[];
  readonly Size: number;
  readonly SharedSize: number;
  readonly UniqueSize: number;
  readonly Layers: readonly string[];
}

/** A workshop for the suite that is being described. */
export function useWorkshop(): Workshop {
  const workshop = new Workshop();
  before(() => workshop.open());
  after(() => workshop.close());
  return workshop;
}

export class Workshop {
  readonly repository = REPOSITORY;
  readonly program = PROGRAM;

  #directory: string | undefined;

  get directory(): string {
    return this.#directory ?? assert.fail('the workshop is not open');
  }

  path(...names: readonly string[]): string {
    return join(this.directory, ...names);
  }

  /** The environment of a command that works on the store `name`. */
  #environment(name: string): NodeJS.ProcessEnv {
    return { ...process.env, TSCR_ROOT: this.path(name), SOURCE_DATE_EPOCH: '1700000000' };
  }

  /** Runs tscr on a store to its end. */
  tscr(args: readonly string[], { store = 'store', input = '/dev/null' } = {}): Outcome {
    const stdin = openSync(input === '/dev/null' ? input : this.path(input), 'r');
    const { status, stdout, stderr } = spawnSync(PROGRAM, args, {
      cwd: this.directory,
      env: this.#environment(store),
      stdio: [stdin, 'pipe', 'pipe'],
      encoding: 'utf8',
      timeout: TIMEOUT_MS,
      maxBuffer: MAX_OUTPUT,
    });
    closeSync(stdin);
    return { status, stdout, stderr };
  }

  /** Runs tscr, which must succeed; its standard output without the last newline. */
  succeed(args: readonly string[], store = 'store'): string {
    const outcome = this.tscr(args, { store });
    assert.equal(outcome.status, 0, `tscr ${args.join(' ')}: ${outcome.stderr}`);
    return outcome.stdout.trimEnd();
  }

  /** Starts tscr and lets it run. */
  start(args: readonly string[], store = 'store'): { child: ChildProcess; ended: Promise<Outcome> } {
    const child = spawn(PROGRAM, args, {
      cwd: this.directory,
      env: this.#environment(store),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [stdout, stderr] = ['', ''];
    child.stdout?.on('data', (chunk: Buffer) => (stdout += String(chunk)));
    child.stderr?.on('data', (chunk: Buffer) => (stderr += String(chunk)));
    const ended = new Promise<Outcome>((resolve) => {
      child.on('close', (status) => resolve({ status, stdout, stderr }));
    });
    return { child, ended };
  }

  images(store = 'store'): ListedImage[] {
    return JSON.parse(this.succeed(['images', '--json'], store)) as ListedImage[];
  }

  inspect<T>(name: string, store = 'store'): T {
    return (JSON.parse(this.succeed(['inspect', name], store)) as T[])[0] as T;
  }

  /** Runs another program in the workshop, which must succeed. */
  run(command: string, args: readonly string[]): string {
    return run(command, args, { cwd: this.directory, timeoutMs: TIMEOUT_MS });
  }

  /** podman with a storage of its own. */
  podman(args: readonly string[]): string {
    const place = ['--root', this.path('podman'), '--runroot', this.path('podman-run')];
    return this.run('podman', [...place, '--storage-driver', 'vfs', ...args]);
  }

  write(path: string, content: string | Buffer): void {
    mkdirSync(dirname(this.path(path)), { recursive: true });
    writeFileSync(this.path(path), content);
  }

  /**
   * An OCI layout made with umoci: one image per tag, made of layers that insert files; later images begin with the
   * layers of the first.
   * @param images tag -> layers -> path in the image -> content; null deletes it
   */
  layout(
    name: string,
    images: Readonly<Record<string, readonly Readonly<Record<string, string | null>>[]>>,
  ): void {
    const umoci = (args: readonly string[]): string => this.run('umoci', args);
    umoci(['init', '--layout', name]);
    let base: string | undefined;
    for (const [tag, layers] of Object.entries(images)) {
      const image = `${name}:${tag}`;
      if (base === undefined) umoci(['new', '--image', image]);
      else umoci(['tag', '--image', `${name}:${base}`, tag]);
      for (const layer of layers) {
        for (const [path, content] of Object.entries(layer)) this.#insert(image, path, content);
      }
      base ??= tag;
    }
    umoci(['gc', '--layout', name]);
  }

  #insert(image: string, path: string, content: string | null): void {
    if (content === null) {
      this.run('umoci', ['insert', '--image', image, '--whiteout', path]);
      return;
    }
    this.write('insert', content);
    this.run('umoci', ['insert', '--image', image, this.path('insert'), path]);
  }

  open(): void {
    mkdirSync(cacheDirectory(), { recursive: true });
    this.#directory = realpathSync(mkdtempSync(join(cacheDirectory(), 'image-')));
  }

  close(): void {
    run('rm', ['-rf', this.directory]);
    this.#directory = undefined;
  }
}
