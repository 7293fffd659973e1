/**
 * Changes to an image's configuration, written as Dockerfile instructions: `commit -c` and `import -c`.
 *
 * Rule: the instructions that `docker commit --change` takes, with their two forms: a JSON list, or words with
 * quotes and backslash escapes. Compare dockerfile.ParseCommand and dispatch in moby.
 */
import { posix } from 'node:path';
import { UsageError } from '../../../fs/index.js';
import { alternatives } from '../../../fs/input/shown.js';
import type { ExecutionConfig } from '../oci.js';

type Change = (config: ExecutionConfig, argument: string) => ExecutionConfig;

const SHELL = ['/bin/sh', '-c'];
const PORT = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/;
const MAX_PORT = 65535;

const CHANGES: Readonly<Record<string, Change>> = {
  CMD: (config, argument) => ({ ...config, Cmd: commandOf(argument) }),
  ENTRYPOINT: (config, argument) => ({ ...config, Entrypoint: commandOf(argument) }),
  ENV: (config, argument) => ({ ...config, Env: withVariables(config.Env ?? [], pairsOf(argument)) }),
  LABEL: (config, argument) => ({
    ...config,
    Labels: { ...config.Labels, ...Object.fromEntries(pairsOf(argument)) },
  }),
  EXPOSE: (config, argument) => ({
    ...config,
    ExposedPorts: { ...config.ExposedPorts, ...setOf(wordsOf(argument).flatMap(portsOf)) },
  }),
  VOLUME: (config, argument) => ({
    ...config,
    Volumes: { ...config.Volumes, ...setOf(listOf(argument) ?? wordsOf(argument)) },
  }),
  USER: (config, argument) => ({ ...config, User: argument }),
  WORKDIR: (config, argument) => ({ ...config, WorkingDir: below(config.WorkingDir, argument) }),
  STOPSIGNAL: (config, argument) => ({ ...config, StopSignal: argument }),
};

/** Applies instructions such as "CMD echo hello" in order. Throws `UsageError` with the invalid instruction. */
export function applyChanges(config: ExecutionConfig, changes: readonly string[]): ExecutionConfig {
  return changes.reduce((before, line) => {
    const [, word = '', argument = ''] = /^\s*(\S+)\s*(.*?)\s*$/s.exec(line) ?? [];
    const name = word.toUpperCase();
    const change = Object.hasOwn(CHANGES, name) ? CHANGES[name] : undefined;
    if (change === undefined)
      throw new UsageError(`unsupported instruction "${line}"; use ${alternatives(Object.keys(CHANGES))}`);
    if (argument === '') throw new UsageError(`instruction "${line}" needs an argument`);
    try {
      return change(before, argument);
    } catch (error) {
      throw error instanceof UsageError ? new UsageError(`"${line}": ${error.message}`) : error;
    }
  }, config);
}

/** NAME=VALUE settings; a later value replaces an earlier one at its position. */
export function withVariables(
  env: readonly string[],
  pairs: readonly (readonly [string, string])[],
): string[] {
  const variables = new Map(env.map((setting) => [setting.split('=', 1)[0] ?? '', setting]));
  for (const [name, value] of pairs) variables.set(name, `${name}=${value}`);
  return [...variables.values()];
}

/** A JSON list of strings; undefined for other arguments. */
function listOf(argument: string): string[] | undefined {
  if (!argument.startsWith('[')) return undefined;
  try {
    const list: unknown = JSON.parse(argument);
    return Array.isArray(list) && list.every((item) => typeof item === 'string') ? list : undefined;
  } catch {
    return undefined;
  }
}

const commandOf = (argument: string): string[] => listOf(argument) ?? [...SHELL, argument];

/** Words as a shell splits them, without expansion. */
function wordsOf(argument: string): string[] {
  const words = argument.match(/(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+/gs) ?? [];
  return words.map(unquote);
}

function unquote(word: string): string {
  return word.replace(
    /"((?:[^"\\]|\\.)*)"|'([^']*)'|\\(.)/gs,
    (_, double?: string, single?: string, one = '') =>
      double !== undefined ? double.replace(/\\(["\\$])/g, '$1') : (single ?? one),
  );
}

/** "A=1 B=2", or the older "A 1 with spaces". */
function pairsOf(argument: string): [string, string][] {
  const words = wordsOf(argument);
  if (words[0]?.includes('=') !== true) {
    const [, name = '', value] = /^(\S+)\s+(.*)$/s.exec(argument) ?? [];
    if (value === undefined) throw new UsageError(`"${argument}" is not NAME=VALUE`);
    return [[name, unquote(value)]];
  }
  return words.map((word) => {
    const at = word.indexOf('=');
    if (at <= 0) throw new UsageError(`"${word}" is not NAME=VALUE`);
    return [word.slice(0, at), word.slice(at + 1)];
  });
}

function portsOf(word: string): string[] {
  const [, first, last = first, protocol = 'tcp'] = PORT.exec(word) ?? [];
  if (first === undefined || Number(last) > MAX_PORT || Number(first) > Number(last))
    throw new UsageError(
      `invalid port "${word}": use a number up to ${MAX_PORT}, or a range, e.g. "8080/tcp" or "8000-8010"`,
    );
  const count = Number(last) - Number(first) + 1;
  return Array.from({ length: count }, (_, index) => `${Number(first) + index}/${protocol}`);
}

const setOf = (names: readonly string[]): Record<string, object> =>
  Object.fromEntries(names.map((name) => [name, {}]));

function below(directory: string | undefined, path: string): string {
  return posix.resolve('/', directory ?? '/', path);
}
