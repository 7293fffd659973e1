/**
 * What both programs share: one boundary where errors become a line and an exit code.
 *
 * Rule: a mistake of the user's is one line on standard error, naming the command and the offending value; nothing
 * has been changed. So is what the host refuses, with what mends it (`fs/sys/advice.ts`). Anything else is a bug and
 * shows its stack.
 */
import { Command, CommanderError } from 'commander';
import { UsageError } from '../fs/index.js';
import { adviceFor } from '../fs/sys/advice.js';
import { Errno } from '../fs/sys/errno.js';
import { requireDescriptors } from '../runtime/host/limits.js';
import { suggestion } from '../runtime/nearest.js';
import { settle } from '../runtime/rootless/namespace.js';
import { warn } from './terminal/output.js';
import { version } from './version.js';

export function newProgram(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .version(version(), '-V, --version')
    .helpCommand(true)
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .enablePositionalOptions();
}

/** Every option name a command knows. */
function optionNames(command: Command): string[] {
  return command.options.flatMap(({ long, short }) => [long, short]).filter((name) => name != null);
}

/** The command that was being parsed: the deepest one named on the command line. */
function currentCommand(program: Command, argv: readonly string[]): Command {
  let command = program;
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] as string;
    const child = command.commands.find((known) => known.name() === word || known.aliases().includes(word));
    if (child !== undefined) command = child;
    else if (!word.startsWith('-')) return command;
    else if (takesNextWord(command, word)) at++;
  }
  return command;
}

const takesNextWord = (command: Command, word: string): boolean =>
  command.options.some((option) => option.required && (option.long === word || option.short === word));

/** What a command is called after the program's name, e.g. "image from-host". */
function nameOf(command: Command): string {
  const { parent } = command;
  return parent?.parent == null ? command.name() : `${nameOf(parent)} ${command.name()}`;
}

/** Commander's message as one line in our form. */
function describeUsage(program: Command, argv: readonly string[], error: CommanderError): string {
  const command = currentCommand(program, argv);
  const where = command === program ? '' : `${nameOf(command)}: `;
  const quoted = /'([^']*)'/.exec(error.message)?.[1] ?? '';
  if (error.code === 'commander.unknownOption') {
    return `${where}unknown option "${quoted}"${suggestion(quoted, optionNames(command))}`;
  }
  if (error.code === 'commander.unknownCommand') {
    const known = command.commands.map((child) => child.name());
    return `${where}unknown command "${quoted}"${suggestion(quoted, known)}`;
  }
  const [line] = error.message.replace(/^error: /, '').split('\n');
  return `${where}${(line ?? '').replaceAll("'", '"')}`;
}

/** Runs a program. @param failure the exit code of errors @param check throws `UsageError` for words it refuses */
export async function runProgram(
  program: Command,
  argv: readonly string[],
  failure: number,
  check: (argv: readonly string[]) => void = () => {},
): Promise<void> {
  inheritSettings(program);
  try {
    requireDescriptors();
    settle(warn);
    check(argv);
    await program.parseAsync(argv, { from: 'user' });
  } catch (error) {
    process.exitCode = report(program, argv, error, failure);
  }
}

function inheritSettings(parent: Command): void {
  for (const command of parent.commands) {
    command.copyInheritedSettings(parent);
    inheritSettings(command);
  }
}

function report(program: Command, argv: readonly string[], error: unknown, failure: number): number {
  const command = currentCommand(program, argv);
  const where = nameOf(command);
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0;
    if (error.code === 'commander.help') return failure;
    warn(describeUsage(program, argv, error));
  } else if (error instanceof UsageError) {
    warn(`${where}: ${error.message}`);
  } else if (error instanceof Errno) {
    warn(`${where}: ${error.message}${adviceFor(error.code)}`);
  } else if (isSystemError(error)) {
    warn(`${where}: ${describeSystemError(error)}`);
  } else {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    for (const line of `${where}: ${text}`.split('\n')) warn(line);
  }
  return failure;
}

/** No space, no permission and the like, as modules of Node report them: the machine's trouble, not a bug. */
const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && 'syscall' in error && 'code' in error;

function describeSystemError({ path, syscall, code, errno = 0 }: NodeJS.ErrnoException): string {
  const subject = path === undefined ? '' : `"${path}": `;
  return `${subject}${syscall}: ${code}${code === 'EACCES' ? '' : adviceFor(-errno)}`; // whose file it is, is known
}
