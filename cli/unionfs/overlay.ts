/**
 * The command lines of fuse-overlayfs (1.x and 2.0) and of mount(8)'s helpers, as arguments of `unionfs mount`.
 *
 * Rules: each of their options has the same effect, or is refused by name. Performance hints are ignored; unknown options
 * are ignored with a warning, because the callers are written for another program (`unionfs mount` refuses them). As with
 * fuse-overlayfs, access times are not updated and lower layers are not watched by default. Compare fuse_opt_proc in
 * fuse-overlayfs' main.c, parse_args in its config.rs, and "EXTERNAL HELPERS" in mount(8).
 */
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { version } from '../version.js';
import { MOUNT_WORDS } from './mount-words.js';

const OVERLAY_NAMES = ['unionfs-overlay', 'fuse-overlayfs'];
const HELPER_NAMES = ['mount.fuse.unionfs', 'mount.unionfs'];

/** Options without effect: the union always behaves so, or has no such feature. */
const WITHOUT_MEANING = new Set([
  // fuse-overlayfs
  ...['fast_ino', 'fast_ino_check', 'threaded'],
  // libfuse
  ...['clone_fd', 'kernel_cache', 'max_idle_threads', 'max_read', 'max_threads'],
  ...['max_write', 'splice_move', 'splice_read', 'splice_write', 'subtype'],
  // mount(8)
  ...['async', 'auto', 'comment', 'defaults', 'diratime', 'group', 'nofail', 'noauto', 'nouser', 'owner'],
  ...['silent', 'uhelper', 'user', 'users', '_netdev'],
]);
/** Options that must not be ignored: `unionfs mount` refuses them by name. */
const REFUSED = new Set(['plugins', 'allow_root', 'auto_unmount', 'blkdev']);
const FOR_OTHERS = /^x-/; // mount(8): "x-*" and "X-*" are for programs around it
const ATIME_WORDS = ['atime', 'noatime', 'relatime', 'norelatime', 'strictatime', 'nostrictatime'];

const USAGE = `usage: unionfs-overlay [-f] [-d] -o lowerdir=A:B[,upperdir=U,workdir=W][,...] MOUNTPOINT

  -f          serve in the foreground
  -d          print every request on standard error; implies -f
  -o OPTIONS  options of fuse-overlayfs(1); unknown ones are ignored with a warning
  --version   print the version
`;
/** The release of fuse-overlayfs whose options are supported. */
const COMPATIBLE = '2.0.0';

/** The request: print text, or mount with arguments of `unionfs mount`. */
export type Request =
  | { readonly print: string }
  | { readonly mount: readonly string[]; readonly foreground: boolean; readonly warnings: readonly string[] };

/**
 * Parses a command line; undefined if it has the form `unionfs COMMAND`.
 * @param program the path of the program as it was called
 * @param commands names of the program's commands
 */
export function overlayRequest(
  program: string,
  args: readonly string[],
  commands: readonly string[],
): Request | undefined {
  const name = basename(program);
  const isHelper = HELPER_NAMES.includes(name);
  if (!isHelper && !OVERLAY_NAMES.includes(name) && !looksLikeOverlay(args, commands)) return undefined;
  return read(args, isHelper);
}

/** `-o OPTS M` or, as mount.fuse3(8) calls the program of type "fuse.unionfs", `SRC M -o OPTS`. */
function looksLikeOverlay(args: readonly string[], commands: readonly string[]): boolean {
  const [first = '', , third] = args;
  if (first.startsWith('-')) return args.some((word) => word.startsWith('-o'));
  return args.length === 4 && third === '-o' && !commands.includes(first);
}

function read(args: readonly string[], isHelper: boolean): Request {
  const { tokens } = parseArgs({
    args: [...args],
    options: {
      o: { type: 'string', short: 'o', multiple: true },
      N: { type: 'string', short: 'N' },
      t: { type: 'string', short: 't' },
    },
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const request = new MountRequest(isHelper);
  for (const token of tokens) {
    if (token.kind === 'positional') request.positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const { name, rawName, value } = token;
    if (name === 'o') request.options(value ?? '');
    else if (['h', 'help'].includes(name)) return { print: USAGE };
    else if (['V', 'version'].includes(name)) {
      return { print: `fuse-overlayfs: version ${COMPATIBLE} (unionfs ${version()})\n` };
    } else if (isHelper && name === 'f')
      return { print: '' }; // mount(8): do everything except mounting
    else request.word(name, rawName);
  }
  return request.result();
}

class MountRequest {
  readonly positionals: string[] = [];
  readonly #isHelper: boolean;
  readonly #args: string[] = [];
  readonly #warnings: string[] = [];
  #layerChanges = 'never';
  #keepsAtime = false;
  #foreground = false;

  constructor(isHelper: boolean) {
    this.#isHelper = isHelper;
  }

  /** An option other than -o. */
  word(name: string, raw: string): void {
    if (name === 'f') this.#serveHere('--foreground');
    else if (['d', 'debug'].includes(name)) this.#serveHere('--trace');
    else if (!['s', 'n', 'v', 'N', 't'].includes(name)) this.#warn(raw);
  }

  /** The list of -o, separated by commas that are not in quotes or after a backslash. */
  options(list: string): void {
    for (const item of list.match(/(?:\\.|"[^"]*"|[^,])+/gs) ?? []) this.#option(item);
  }

  #option(item: string): void {
    const [, name = '', value] = /^([^=]*)(?:=(.*))?$/s.exec(item) ?? [];
    if (ATIME_WORDS.includes(name)) this.#keepsAtime = true;
    if (name === 'fsync' || (name === 'sync' && value !== undefined)) this.#pass(value === '0' && 'volatile');
    else if (name === 'noxattrs') this.#pass(value !== '0' && name);
    else if (name === 'writeback') this.#pass(value !== '0' && name);
    else if (name === 'timeout') this.#layerChanges = trust(Number(value));
    else if (name === 'debug') this.#serveHere('--trace');
    else if (MOUNT_WORDS.includes(name) || REFUSED.has(name)) this.#pass(item.replace(/(?<!\\),/g, '\\,'));
    else if (
      !WITHOUT_MEANING.has(name) &&
      !ATIME_WORDS.includes(name) &&
      !FOR_OTHERS.test(name.toLowerCase())
    ) {
      this.#warn(`-o ${item}`);
    }
  }

  #serveHere(word: string): void {
    this.#foreground = true;
    this.#args.push(word);
  }

  #pass(item: string | false): void {
    if (item !== false) this.#args.push('-o', item);
  }

  #warn(what: string): void {
    this.#warnings.push(`ignoring unknown option "${what}"`);
  }

  result(): Request {
    const mountpoint = this.positionals.slice(-1);
    const [source] = this.positionals.slice(-2, -1);
    const mount = [
      ...(source === undefined ? [] : ['-o', `fsname=${source.replaceAll(',', '\\,')}`]),
      ...(this.#keepsAtime || this.#isHelper ? [] : ['-o', 'noatime']),
      '--layer-changes',
      this.#layerChanges,
      '--clear-workdir',
      ...this.#args,
      '--',
      ...mountpoint,
    ];
    return { mount, foreground: this.#foreground, warnings: this.#warnings };
  }
}

/** Maximum cache timeout in seconds. */
const FOREVER = 1e9;
const trust = (seconds: number): string =>
  seconds >= 0 && seconds < FOREVER ? `ttl=${Math.ceil(seconds)}` : 'never';
