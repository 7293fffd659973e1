/**
 * The files of the host that a program needs to run: the program, its loader, its libraries, and symlinks to them.
 *
 * Rules: symlinks in a path are included together with their targets, so that merged /usr (/bin -> usr/bin) and
 * /etc/alternatives are the same in the image. Libraries are searched as by ld.so(8): the run path of the file that needs
 * them, the directories of /etc/ld.so.conf, then the system's. A script needs its interpreter.
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

/** The files of the image: absolute paths of the host, directories before their contents. */
export type HostFiles = ReadonlyMap<string, Stats>;

const MAX_SYMLINKS = 40;
const MAX_SHEBANG = 256;
const LD_CONF = '/etc/ld.so.conf';
/** Symlinks into a merged /usr: programs use both names. */
const MERGED = ['/bin', '/sbin', '/lib', '/lib64'];
const SYSTEM_DIRECTORIES = ['/lib64', '/usr/lib64', '/lib', '/usr/lib'];

/** The files that programs (names or paths) need. Throws `UsageError` for a missing program. */
export function filesFor(programs: readonly string[]): HostFiles {
  const collection = new Collection();
  for (const program of programs) collection.program(programPath(program));
  for (const path of MERGED) collection.alias(path);
  return new Map([...collection.files].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The path of a program; a name without a slash is searched in PATH. */
export function programPath(program: string): string {
  const { PATH } = process.env;
  const directories = program.includes('/') ? [''] : (PATH ?? '').split(':');
  const found = directories.map((directory) => resolve(directory, program)).find(isProgram);
  if (found !== undefined && program !== '') return found;
  const where = program.includes('/') ? 'is not an executable file' : 'was not found in PATH';
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

  /** Adds a symlink whose target is included. */
  alias(path: string): void {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat?.isSymbolicLink() === true && this.files.has(resolve('/', readlinkSync(path))))
      this.files.set(path, stat);
  }

  /** Adds a program with the files that it needs. */
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

  /** Adds a path with all its directories and symlinks. @returns its real path */
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
      if (++links > MAX_SYMLINKS) throw new UsageError(`"${path}": too many levels of symbolic links`);
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
