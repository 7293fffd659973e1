/**
 * The arguments and the environment of this program, as bytes and independent of Node.
 *
 * Rules: Node interprets some options anywhere on its command line, even after the program ("--env-file",
 * "--experimental-config-file"), and variables (NODE_OPTIONS). So the launcher (cli/launcher.sh) prefixes the arguments
 * with a mark and passes the environment in base64; this module decodes both. process.argv and process.env have lost
 * bytes that are not UTF-8; /proc has them (`fs/sys/path-bytes.ts`).
 */
import { readFileSync } from 'node:fs';
import { UsageError } from '../../fs/index.js';
import { workingDirectory } from '../../fs/layers.js';
import { rawByteIn, rawByteOffset, toBytes, wordsOf } from '../../fs/sys/path-bytes.js';

/** As an argument: the following arguments are prefixed. As a prefix: Node does not take the argument for an option. */
export const MARK = '=';
/** Prefix of the variables that contain the caller's environment in base64; numbers from 1 follow. */
const CARRIED = 'UNIONFS_ENVIRONMENT_';
/** Characters in one variable (below MAX_ARG_STRLEN), a multiple of 4 for base64. */
const PART = 98_304;
/** Variables that name a descriptor of this process; its children do not have the descriptor. */
const CHANNEL = /^NODE_CHANNEL_/;

/** Variables by name; any name is possible, including "__proto__" and "constructor". */
export type Environment = Readonly<Record<string, string>>;

const raw = (file: 'cmdline' | 'environ'): string[] => wordsOf(readFileSync(`/proc/self/${file}`, 'latin1'));

let known: readonly string[] | undefined;

/** The arguments of this program. */
export function words(): readonly string[] {
  known ??= unhidden(raw('cmdline').slice(2 - process.argv.length));
  return known;
}

/** Removes the prefixes. A started program has two arguments of Node's before its own. */
function unhidden(given: readonly string[]): readonly string[] {
  if (process.argv.length < 3) return [];
  const [first, ...rest] = given;
  return first === MARK ? rest.map((word) => word.slice(MARK.length)) : given;
}

/** Arguments in the form in which the launcher passes them. */
export const hidden = (given: readonly string[]): string[] => [MARK, ...given.map((word) => MARK + word)];

/** Variables that name directories. */
const DIRECTORIES = ['TSCR_ROOT', 'TSCR_RUN', 'XDG_DATA_HOME', 'XDG_RUNTIME_DIR', 'HOME', 'TMPDIR', 'PATH'];

/** Refuses arguments that cannot be stored in a container's record, which is JSON. Throws `UsageError`. */
export function requireText(given: readonly string[]): void {
  for (const [at, word] of given.entries()) requireUtf8(`argument ${at + 1},`, word);
  requireUtf8('the working directory,', workingDirectory());
  requireTextIn(DIRECTORIES);
}

/** Refuses variables that are not UTF-8, because Node's own functions would change them. Throws `UsageError`. */
export function requireTextIn(names: readonly string[]): void {
  const variables = callerEnvironment();
  for (const name of names) requireUtf8(`the value of ${name},`, variables[name] ?? '');
}

function requireUtf8(what: string, text: string): void {
  const offset = rawByteOffset(text);
  if (offset !== undefined)
    throw new UsageError(`${what} "${text}", is not UTF-8: byte ${rawByteIn(text)} at offset ${offset}`);
}

/** The caller's environment, without variables that our programs pass to each other. */
export function callerEnvironment(): Environment {
  const own = variablesOf(raw('environ'));
  const parts: string[] = [];
  for (let part = 1; own[CARRIED + part] !== undefined; part++) parts.push(own[CARRIED + part] ?? '');
  if (parts.length > 0) return variablesOf(wordsOf(Buffer.from(parts.join(''), 'base64').toString('latin1')));
  delete own[NAMESPACE_ORDER]; // started without the launcher
  return own;
}

function variablesOf(lines: readonly string[]): Record<string, string> {
  const variables: Record<string, string> = Object.create(null);
  for (const line of lines) {
    const equals = line.indexOf('=');
    const name = line.slice(0, equals);
    if (equals > 0 && !CHANNEL.test(name)) variables[name] = line.slice(equals + 1);
  }
  return variables;
}

/** Encodes an environment so that `callerEnvironment` in another of our programs decodes it. */
export function carriedEnvironment(environment: Environment): Environment {
  const lines = Object.entries(environment).map(([name, value]) => `${name}=${value}\0`);
  const text = Buffer.from(toBytes(lines.join('')), 'latin1').toString('base64');
  const parts = text.match(new RegExp(`.{1,${PART}}`, 'g')) ?? [''];
  return Object.fromEntries(parts.map((part, at) => [`${CARRIED}${at + 1}`, part]));
}

/** The variable with the request of `runtime/namespaces/user-namespace.ts`. */
export const NAMESPACE_ORDER = 'UNIONFS_USER_NAMESPACE';
