/**
 * The environment of a container's process.
 *
 * Rules, as docker's: the image's variables, then those of `--env-file`, then those of `-e`; NAME alone takes the
 * caller's value, or removes the variable if the caller has none. Only the command line may
 * refer to the caller's variables: an entry of the image that is not NAME=VALUE is ignored. Compare opts.ParseEnvFile and opts.ValidateEnv in docker/cli.
 */
import { readFileSync } from 'node:fs';
import { UsageError } from '../../../fs/index.js';
import { rawByteIn, rawByteOffset, toText } from '../../../fs/sys/path-bytes.js';

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const BYTE_ORDER_MARK = '\ufeff';

/** One change: a value, or undefined for a variable that is removed. */
interface Change {
  readonly name: string;
  readonly value: string | undefined;
}

export interface EnvironmentRequest {
  /** The image's. */
  readonly image: readonly string[];
  /** Files of NAME=VALUE and NAME lines. */
  readonly files: readonly string[];
  /** NAME=VALUE and NAME. */
  readonly changes: readonly string[];
  readonly hostname: string;
  /** The caller's own environment. */
  readonly caller: Readonly<Record<string, string | undefined>>;
}

/** NAME=VALUE lines in a stable order. Throws `UsageError` for an unreadable file or an invalid name. */
export function environmentOf(request: EnvironmentRequest): string[] {
  const variables = new Map([
    ['PATH', DEFAULT_PATH],
    ['HOSTNAME', request.hostname],
  ]);
  const given = [...request.files.flatMap(linesOfFile), ...request.changes];
  const own = request.image.filter((text) => text.indexOf('=') > 0);
  const changes = [...own, ...given].map((text) => parse(text, request.caller));
  for (const { name, value } of changes) {
    if (value === undefined) variables.delete(name);
    else variables.set(name, value);
  }
  return [...variables].map(([name, value]) => `${name}=${value}`);
}

function parse(text: string, caller: EnvironmentRequest['caller']): Change {
  const equals = text.indexOf('=');
  const name = equals < 0 ? text : text.slice(0, equals);
  if (name === '') throw new UsageError(`invalid variable "${text}": use NAME=VALUE or NAME`);
  if (text.includes('\0')) throw new UsageError(`variable "${name}" contains a NUL byte`);
  const value = equals < 0 ? caller[name] : text.slice(equals + 1);
  const offset = rawByteOffset(value ?? '');
  if (offset !== undefined)
    throw new UsageError(
      `the value of "${name}" is not UTF-8: byte ${rawByteIn(value ?? '')} at offset ${offset}; variables are stored as JSON, which is UTF-8`,
    );
  return { name, value };
}

function linesOfFile(path: string): string[] {
  const lines = contentOf(path)
    .replace(BYTE_ORDER_MARK, '')
    .split('\n')
    .map((line) => line.replace(/\r$/, '').trimStart())
    .filter((line) => line !== '' && !line.startsWith('#'));
  const wrong = lines.find((line) => /\s/.test(line.split('=', 1)[0] ?? ''));
  if (wrong !== undefined) {
    throw new UsageError(
      `env-file "${path}": invalid variable name "${wrong.split('=', 1)[0]}": it contains a space`,
    );
  }
  return lines;
}

/** Throws `UsageError` if the file is not UTF-8. */
function contentOf(path: string): string {
  const text = toText(readOrExplain(path));
  const offset = rawByteOffset(text);
  if (offset === undefined) return text;
  const line = text.slice(0, text.search(/[\udc80-\udcff]/u)).split('\n').length;
  throw new UsageError(
    `env-file "${path}", line ${line}, is not UTF-8: byte ${rawByteIn(text)} at offset ${offset} of the file`,
  );
}

function readOrExplain(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    throw new UsageError(`cannot read env-file "${path}": ${(error as NodeJS.ErrnoException).code}`);
  }
}
