/**
 * Commands whose words or variables are not UTF-8. Node's spawn() would replace those bytes, so a shell makes them.
 *
 * Rule: the shell is given nothing but ASCII: a value is written in octal, and "printf" gives the bytes (POSIX, "printf").
 */
import { holdsRawBytes, toBytes } from '../../fs/sys/path-bytes.js';

export interface Command {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

const SHELL = '/bin/sh';
/** POSIX, "Name"; a shell takes no other variable, and hands on those that it does not take as they are. */
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** The same command, in a form that Node can start. */
export function startable({ command, args, env }: Command): Command {
  const words = [command, ...args];
  const raw = Object.entries(env).filter(([name, value]) => NAME.test(name) && holdsRawBytes(value));
  if (raw.length === 0 && !words.some(holdsRawBytes)) return { command, args, env };
  const script = [
    ...raw.map(([name, value]) => `${assign(name, value)}; export ${name}`),
    'set --',
    ...words.map((word) => `${assign('word', word)}; set -- "$@" "$word"`),
    'unset word; exec "$@"',
  ];
  const plain = Object.fromEntries(Object.entries(env).filter(([, value]) => !holdsRawBytes(value)));
  return { command: SHELL, args: ['-c', script.join('\n')], env: plain };
}

/** A command substitution drops newlines at its end: a character behind them keeps them. */
const assign = (name: string, text: string): string =>
  `${name}=$(printf '${octal(text)}.'); ${name}=\${${name}%.}`;

const octal = (text: string): string =>
  [...toBytes(text)].map((byte) => `\\${byte.charCodeAt(0).toString(8).padStart(3, '0')}`).join('');
