/**
 * Which of the host's files a program needs to run: itself, its loader, its libraries and the symlinks that lead there.
 *
 * Rules: a symlink anywhere on a path is taken along, and so is what it leads to; thereby merged /usr (/bin -> usr/bin)
 * and /etc/alternatives look inside as they do outside. A library is searched as ld.so(8) does: the run path of who
 * needs it, the directories of /etc/ld.so.conf, then the system's. A script needs its interpreter.
 */
import {
  accessSync,
  closeSync,
  constants,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  type Stats,
  statSync,
} from 'node:fs';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { UsageError } from '../../../fs/index.js';
import { type Elf, readElf } from './elf.js';

/** What is to be in the image: absolute paths of the host, a directory before what it holds. */
export type HostFiles = ReadonlyMap<string, Stats>;

const MAX_SYMLINKS = 40;
const MAX_SHEBANG = 256;
const LD_CONF = '/etc/ld.so.conf';
/** Symlinks into /usr where that is merged: programs call each other by both names. */
const MERGED = ['/bin', '/sbin', '/lib', '/lib64'];
const SYSTEM_DIRECTORIES = ['/lib64', '/usr/lib64', '/lib', '/usr/lib'];

/** The files of the host that `programs`, names or paths, need. Throws `UsageError` for one that is not there. */
export function filesFor(programs: readonly string[]): HostFiles {
  const collection = new Collection();
  for (const program of programs) collection.program(programPath(program));
  for (const path of MERGED) collection.alias(path);
  return new Map([...collection.files].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Where a program lies; a name without a slash is looked up in PATH. */
export function programPath(program: string): string {
  const { PATH } = process.env;
  const directories = program.includes('/') ? [''] : (PATH ?? '').split(':');
  const found = directories.map((directory) => resolve(directory, program)).find(isProgram);
  if (found !== undefined && program !== '') return found;
  const where = program.includes('/') ? 'is no program' : 'was not found in PATH';
  throw new UsageError(`"${program}" ${where}`);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

class Collection {
  readonly files = new Map<string, Stats>();
  readonly #seen = new Set<string>();

  /** Takes a symlink whose target is taken. */
  alias(path: string): void {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat?.isSymbolicLink() === true && this.files.has(resolve('/', readlinkSync(path))))
      this.files.set(path, stat);
  }

  /** A program with all it needs. */
  program(path: string): void {
    const real = this.#take(path);
    if (this.#seen.has(real)) return;
    this.#seen.add(real);
    const elf = readElf(real);
    if (elf !== undefined) this.#linked(real, elf);
    else for (const interpreter of interpreterOf(real)) this.program(programPath(interpreter));
  }

  #linked(real: string, elf: Elf): void {
    if (elf.interpreter !== undefined) this.program(elf.interpreter);
    for (const name of elf.needed) {
      const library = findLibrary(name, elf, dirname(real));
      if (library === undefined) throw new UsageError(`"${real}" needs "${name}", which was not found`);
      this.program(library);
    }
  }

  /** Takes a path with every directory and symlink on it; its real path. */
  #take(path: string): string {
    let rest = path.split('/').filter((name) => name !== '');
    let at = '/';
    for (let links = 0; rest.length > 0; ) {
      const [name = '', ...others] = rest;
      rest = others;
      if (name === '.' || name === '..') {
        at = join(at, name);
        continue;
      }
      const next = join(at, name);
      const stat = lstatSync(next);
      this.files.set(next, stat);
      if (!stat.isSymbolicLink()) {
        at = next;
        continue;
      }
      if (++links > MAX_SYMLINKS) throw new UsageError(`"${path}" leads through too many symlinks`);
      const target = readlinkSync(next);
      if (isAbsolute(target)) at = '/';
      rest = [...target.split('/').filter((part) => part !== ''), ...rest];
    }
    return at;
  }
}

/** The program of a "#!" line, and what env(1) is told to run. */
function interpreterOf(path: string): string[] {
  const bytes = Buffer.alloc(MAX_SHEBANG);
  const fd = openSync(path, 'r');
  const length = readSync(fd, bytes, 0, MAX_SHEBANG, 0);
  closeSync(fd);
  const line = /^#!\s*(\S+)(?:[ \t]+([^\s=-][^\s=]*)(?!\S))?/.exec(bytes.toString('utf8', 0, length));
  if (line === null) return [];
  const [, interpreter = '', argument] = line;
  return interpreter.endsWith('/env') && argument !== undefined ? [interpreter, argument] : [interpreter];
}

function findLibrary(name: string, elf: Elf, origin: string): string | undefined {
  if (name.includes('/')) return resolve(origin, name);
  const own = elf.runPath.map((path) => path.replace(/\$\{?ORIGIN\}?/g, origin)).filter(isAbsolute);
  const directories = [...own, ...configured(LD_CONF), ...SYSTEM_DIRECTORIES];
  return directories.map((directory) => join(directory, name)).find((path) => fits(path, elf));
}

function fits(path: string, elf: Elf): boolean {
  const isFile = statSync(path, { throwIfNoEntry: false })?.isFile() === true;
  return isFile && readElf(path)?.kind === elf.kind;
}

/** The directories that a configuration of ldconfig(8) names. */
function configured(path: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return [];
  }
  const lines = text.split('\n').map((line) => line.replace(/#.*/, '').trim());
  return lines.flatMap((line) => {
    const included = /^include\s+(.*)/.exec(line)?.[1];
    if (included !== undefined) return matching(resolve(dirname(path), included)).flatMap(configured);
    return isAbsolute(line) ? [line] : [];
  });
}

/** The files that a pattern with "*" in its last component means, in order. */
function matching(pattern: string): string[] {
  const escaped = basename(pattern).replace(/[.+?^${}()|[\]\\]/g, '\\$&');
  const names = new RegExp(`^${escaped.replaceAll('*', '.*')}$`);
  try {
    const found = readdirSync(dirname(pattern)).filter((name) => names.test(name));
    return found.sort().map((name) => join(dirname(pattern), name));
  } catch {
    return [];
  }
}
