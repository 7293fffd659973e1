/**
 * A program's commands as data: what its help, its manual page, its reference page and its completions have in common.
 *
 * Rule: everything is taken from commander's definitions, which make `--help`, with its own functions; what is hidden
 * there is hidden here.
 */
import type { Argument, Command, Help, Option } from 'commander';
import { optionDescription } from '../../cli/terminal/choice-option.js';
import { TSCR_COMMANDS, tscrProgram } from '../../cli/tscr/program.js';
import { UNIONFS_COMMANDS, unionfsProgram } from '../../cli/unionfs/program.js';

/** What a word on the command line stands for, as far as it can be completed; options after a command are its own. */
export type Kind = 'image' | 'container' | 'thing' | 'directory' | 'file' | 'program' | 'command' | 'other';

export interface OptionEntry {
  readonly short?: string;
  readonly long: string;
  /** The flags as help shows them, e.g. "-e, --env <name[=value]>". */
  readonly term: string;
  readonly description: string;
  /** The first line of the description; a line per value may follow it. */
  readonly summary: string;
  readonly takesValue: boolean;
  readonly choices: readonly string[];
  readonly kind: Kind;
}

export interface ArgumentEntry {
  readonly term: string;
  readonly description: string;
  readonly variadic: boolean;
  readonly kind: Kind;
}

export interface CommandEntry {
  /** With the program and the commands above it, e.g. "tscr image ls". */
  readonly path: string;
  readonly name: string;
  readonly usage: string;
  readonly description: string;
  readonly help: string;
  readonly options: readonly OptionEntry[];
  readonly arguments: readonly ArgumentEntry[];
  readonly commands: readonly CommandEntry[];
}

/** By the name of an argument, or of what an option's flags have in brackets. */
const KINDS: Readonly<Record<string, Kind>> = {
  image: 'image',
  container: 'container',
  dir: 'directory',
  mountpoint: 'directory',
  'a:b': 'directory',
  file: 'file',
  path: 'file',
  archive: 'file',
  'src:dst[:opts]': 'file',
  command: 'command',
  program: 'program',
};
/** Where a name is of a container or an image. */
const THINGS = ['tscr history', 'tscr inspect', 'tscr diff'];
const HELP_COMMAND = 'help';
const HELP_WIDTH = 100;

const kindOf = (name: string): Kind => KINDS[name] ?? 'other';

function optionEntry(help: Help, option: Option): OptionEntry {
  const { short, long, flags, required, optional, argChoices = [] } = option;
  const description = help.optionDescription(option);
  return {
    ...(short !== undefined && { short }),
    long: long ?? short ?? '',
    term: help.optionTerm(option),
    description,
    summary: description.split('\n')[0] ?? '',
    takesValue: required || optional,
    choices: argChoices,
    kind: kindOf(/[<[](.*)[>\]]$/.exec(flags)?.[1] ?? ''),
  };
}

function argumentEntry(help: Help, argument: Argument, path: string): ArgumentEntry {
  const name = argument.name();
  const mark = argument.variadic ? `${name}...` : name;
  return {
    term: argument.required ? `<${mark}>` : `[${mark}]`,
    description: help.argumentDescription(argument),
    variadic: argument.variadic,
    kind: name === 'name' && THINGS.includes(path) ? 'thing' : kindOf(name),
  };
}

function entryOf(command: Command, above: string): CommandEntry {
  command.configureHelp({ helpWidth: HELP_WIDTH, optionDescription });
  const help = command.createHelp();
  const path = `${above} ${command.name()}`.trim();
  const commands = help.visibleCommands(command).filter((child) => child.name() !== HELP_COMMAND);
  return {
    path,
    name: command.name(),
    usage: help.commandUsage(command),
    description: command.description(),
    help: command.helpInformation(),
    options: help.visibleOptions(command).map((option) => optionEntry(help, option)),
    arguments: command.registeredArguments.map((argument) => argumentEntry(help, argument, path)),
    commands: commands.map((child) => entryOf(child, path)),
  };
}

/** Both programs, with all their commands. */
export async function programs(): Promise<CommandEntry[]> {
  const all = [await unionfsProgram(UNIONFS_COMMANDS), await tscrProgram(TSCR_COMMANDS)];
  return all.map((program) => entryOf(program, ''));
}

/** A command and all below it, in the order of help. */
export const withAllBelow = (entry: CommandEntry): CommandEntry[] => [
  entry,
  ...entry.commands.flatMap(withAllBelow),
];
