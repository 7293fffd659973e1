/**
 * How this program was called: its words and its environment, as bytes and past Node.
 *
 * Rules: Node looks for options of its own anywhere on its command line, also behind the program ("--env-file",
 * "--experimental-config-file"), and obeys variables (NODE_OPTIONS). So the launcher (cli/launcher.sh) hides the words
 * behind a mark, and carries the environment in base64; here both come back. Node's own argv and env have lost bytes
 * that are not UTF-8; /proc has them (`fs/sys/path-bytes.ts`).
 */
import { readFileSync } from 'node:fs';
import { UsageError } from '../../fs/index.js';
import { workingDirectory } from '../../fs/layers.js';
import { rawByteIn, rawByteOffset, toBytes, wordsOf } from '../../fs/sys/path-bytes.js';

/** Alone: the words that follow are hidden. Before a word: it is no option to Node. */
export const MARK = '=';
/** Before the numbers, from 1, of the variables that carry the caller's environment in base64. */
const CARRIED = 'UNIONFS_ENVIRONMENT_';
/** As much as a variable takes (MAX_ARG_STRLEN), whole groups of base64. */
const PART = 98_304;
/** Names a descriptor that Node's caller has opened for this process; a child of it does not have it. */
const CHANNEL = /^NODE_CHANNEL_/;

/** Variables by name; every name is possible, "__proto__" and "constructor" too. */
export type Environment = Readonly<Record<string, string>>;

const raw = (file: 'cmdline' | 'environ'): string[] => wordsOf(readFileSync(`/proc/self/${file}`, 'latin1'));

let known: readonly string[] | undefined;

/** What follows the program on its command line. */
export function words(): readonly string[] {
  known ??= unhidden(raw('cmdline').slice(2 - process.argv.length));
  return known;
}

/** A started program has two words of Node's before its own. */
function unhidden(given: readonly string[]): readonly string[] {
  if (process.argv.length < 3) return [];
  const [first, ...rest] = given;
  return first === MARK ? rest.map((word) => word.slice(MARK.length)) : given;
}

/** Words as the launcher gives them to a program that Node runs. */
export const hidden = (given: readonly string[]): string[] => [MARK, ...given.map((word) => MARK + word)];

/** Variables that name directories. */
const DIRECTORIES = ['TSCR_ROOT', 'TSCR_RUN', 'XDG_DATA_HOME', 'XDG_RUNTIME_DIR', 'HOME', 'TMPDIR', 'PATH'];

/** Refuses what cannot be kept in a container's records, which are JSON. Throws `UsageError`. */
export function requireText(given: readonly string[]): void {
  for (const [at, word] of given.entries()) requireUtf8(`argument ${at + 1},`, word);
  requireUtf8('the working directory,', workingDirectory());
  requireTextIn(DIRECTORIES);
}

/** Refuses values of the caller's variables that Node's own functions would lose bytes of. Throws `UsageError`. */
export function requireTextIn(names: readonly string[]): void {
  const variables = callerEnvironment();
  for (const name of names) requireUtf8(`the value of ${name},`, variables[name] ?? '');
}

function requireUtf8(what: string, text: string): void {
  const offset = rawByteOffset(text);
  if (offset !== undefined)
    throw new UsageError(`${what} "${text}", is not UTF-8: byte ${rawByteIn(text)} at offset ${offset}`);
}

/** The caller's environment, without what is between programs of ours. */
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

/** An environment in the form in which `callerEnvironment` finds it in another program of ours. */
export function carriedEnvironment(environment: Environment): Environment {
  const lines = Object.entries(environment).map(([name, value]) => `${name}=${value}\0`);
  const text = Buffer.from(toBytes(lines.join('')), 'latin1').toString('base64');
  const parts = text.match(new RegExp(`.{1,${PART}}`, 'g')) ?? [''];
  return Object.fromEntries(parts.map((part, at) => [`${CARRIED}${at + 1}`, part]));
}

/** The variable that tells a program how it goes on in a new user namespace (`runtime/rootless/namespace.ts`). */
export const NAMESPACE_ORDER = 'UNIONFS_USER_NAMESPACE';
