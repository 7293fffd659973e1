/**
 * What all programs share: one boundary where errors become a line and an exit code.
 *
 * Rule: a mistake of the user is one line on standard error: program and command, what happened with the offending
 * value, the fix; nothing has been changed. An error of the host is one line too, with its cause or fix
 * (`fs/sys/advice.ts`). Any other error is a bug and is printed with its stack.
 */
import { Command, CommanderError } from 'commander';
import { UsageError } from '../fs/index.js';
import { suggestion } from '../fs/input/nearest.js';
import { alternatives } from '../fs/input/shown.js';
import { adviceFor } from '../fs/sys/advice.js';
import { Errno } from '../fs/sys/errno.js';
import { requireDescriptors } from '../runtime/host/limits.js';
import { finishEntering } from '../runtime/namespaces/user-namespace.js';
import { optionDescription } from './terminal/choice-option.js';
import { setPrefix, warn } from './terminal/output.js';
import { version } from './version.js';

export function newProgram(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .version(version(), '-V, --version')
    .helpCommand(true)
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .configureHelp({ optionDescription })
    .enablePositionalOptions();
}

export interface Boundary {
  /** The exit code of errors. */
  readonly failure: number;
  /** Throws `UsageError` for arguments that no command accepts. */
  readonly check?: (argv: readonly string[]) => void;
  /**
   * What to use instead of a command or an option that another program of this kind has.
   * @param command names below the program, e.g. "image rm"
   * @param word a command's name, or an option as it was given without its value
   * @returns the name in full, and the replacement; undefined for what no program has
   */
  readonly instead?: (command: string, word: string) => Missing | undefined;
}

export interface Missing {
  readonly name: string;
  readonly instead: string;
}

/** Runs a program, and sets the exit code. */
export async function runProgram(
  program: Command,
  argv: readonly string[],
  boundary: Boundary,
): Promise<void> {
  inheritSettings(program);
  const command = currentCommand(program, argv);
  setPrefix(fullName(command));
  try {
    requireDescriptors();
    finishEntering(warn);
    boundary.check?.(argv);
    await program.parseAsync(argv, { from: 'user' });
  } catch (error) {
    process.exitCode = report(command, error, boundary);
  }
}

function inheritSettings(parent: Command): void {
  for (const command of parent.commands) {
    command.copyInheritedSettings(parent);
    inheritSettings(command);
  }
}

// --- the command that was parsed

/** The deepest command that is named on the command line. */
function currentCommand(program: Command, argv: readonly string[]): Command {
  let command = program;
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] as string;
    const child = command.commands.find((known) => known.name() === word || known.aliases().includes(word));
    if (child !== undefined) command = child;
    else if (!isOptionOf(command, word)) return command;
    else if (takesNextWord(command, word)) at++;
  }
  return command;
}

const isOptionOf = (command: Command, word: string): boolean =>
  command.options.some(({ long, short }) =>
    word.startsWith('--') ? long === word.split('=')[0] : short === word.slice(0, 2),
  );

const takesNextWord = (command: Command, word: string): boolean =>
  command.options.some((option) => option.required && (option.long === word || option.short === word));

/** A command's name with those of its parents, e.g. "tscr image from-host". */
const fullName = (command: Command): string =>
  command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;

/** The same without the program, e.g. "image from-host". */
const nameBelowProgram = (command: Command): string => fullName(command).split(' ').slice(1).join(' ');

// --- errors

function report(command: Command, error: unknown, { failure, instead }: Boundary): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    if (error.code === 'commander.help') return failure;
    warn(describeUsage(command, error, instead ?? (() => undefined)));
  } else if (error instanceof UsageError) warn(error.message);
  else if (error instanceof Errno) warn(describeErrno(error));
  else if (isSystemError(error)) warn(describeSystemError(error));
  else {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    for (const line of text.split('\n')) warn(line);
  }
  return failure;
}

/** Commander's message in our form. */
function describeUsage(
  command: Command,
  error: CommanderError,
  instead: NonNullable<Boundary['instead']>,
): string {
  const [first = '', second = ''] = [...error.message.matchAll(/'([^']*)'/g)].map(([, value]) => value);
  switch (error.code) {
    case 'commander.unknownOption':
      return describeUnknown(command, 'option', first, optionNames(command), instead);
    case 'commander.unknownCommand':
      return describeUnknown(command, 'command', first, commandNames(command), instead);
    case 'commander.excessArguments':
      return `unexpected argument "${command.args[command.registeredArguments.length] ?? ''}"`;
    case 'commander.optionMissingArgument':
      return `option "${longName(first)}" needs a value`;
    case 'commander.invalidArgument':
      return `invalid value "${second}" for option "${longName(first)}"${describeChoices(error.message)}`;
    default: {
      const [line = ''] = error.message.replace(/^error: /, '').split('\n');
      return line.replaceAll("'", '"');
    }
  }
}

function describeUnknown(
  command: Command,
  kind: 'option' | 'command',
  word: string,
  known: readonly string[],
  instead: NonNullable<Boundary['instead']>,
): string {
  const missing = instead(nameBelowProgram(command), word);
  if (missing !== undefined) return `"${missing.name}" is not implemented; ${missing.instead}`;
  return `unknown ${kind} "${word}"${suggestion(word, known)}`;
}

const optionNames = (command: Command): string[] =>
  command.options.flatMap(({ long, short }) => [long, short]).filter((name) => name != null);

const commandNames = (command: Command): string[] => command.commands.map((child) => child.name());

/** "--name" of "-n, --name <value>". */
const longName = (flags: string): string => /--[\w-]+/.exec(flags)?.[0] ?? flags.split(' ')[0] ?? flags;

/** "A, B, C" of commander's "Allowed choices are A, B, C." */
function describeChoices(message: string): string {
  const choices = /Allowed choices are (.*)\.$/s.exec(message)?.[1]?.split(', ') ?? [];
  return choices.length === 0 ? '' : `: use ${alternatives(choices)}`;
}

const describeErrno = ({ message, code, path }: Errno): string =>
  `${path === undefined ? '' : `"${path}": `}${message}${adviceFor(code, path)}`;

/** An error of the machine as modules of Node report it, such as no space and no permission; not a bug. */
const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && 'syscall' in error && 'code' in error;

function describeSystemError({ path, syscall, code, errno = 0 }: NodeJS.ErrnoException): string {
  return `${path === undefined ? '' : `"${path}": `}${syscall}: ${code}${adviceFor(-errno, path)}`;
}
