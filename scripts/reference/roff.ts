/**
 * Manual pages, in the macros of man(7).
 *
 * Rule: text is escaped where it enters: a backslash, a hyphen that is to be copied from the page, quotes that roff
 * turns into typographic ones, and a control character at the start of a line. `mandoc -T lint` has nothing to say.
 */
import { NOTES, type Notes } from './notes.js';
import { type CommandEntry, withAllBelow } from './tree.js';

export interface Edition {
  readonly version: string;
  /** YYYY-MM-DD. */
  readonly date: string;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\\': '\\e',
  '-': '\\-',
  "'": '\\(aq',
  '`': '\\(ga',
  '^': '\\(ha',
  '~': '\\(ti',
  '"': '\\(dq',
};

/** Text in the middle or at the start of a line. */
export const roff = (text: string): string =>
  text.replace(/[\\\-'`^~"]/g, (character) => ESCAPES[character] ?? '').replace(/^\./gm, '\\&.');

const section = (name: string, lines: readonly string[]): string[] =>
  lines.length === 0 ? [] : [`.SH ${name}`, ...lines];
/** A term, and what it means in the next line; a term without a meaning stands in a paragraph of its own. */
const tagged = (term: string, text: string): string[] =>
  text === '' ? ['.PP', `.B ${roff(term)}`] : ['.TP', `.B ${roff(term)}`, roff(text)];
const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

function commandSection(entry: CommandEntry): string[] {
  return [
    `.SS ${roff(entry.usage)}`,
    roff(sentence(entry.description)),
    ...[...entry.arguments, ...entry.options].flatMap(({ term, description }) => tagged(term, description)),
  ];
}

/** The page of a program. */
export function manualPage(program: CommandEntry, { version, date }: Edition): string {
  const { title, summary, exit, environment, files, examples, seeAlso } = NOTES[program.name] as Notes;
  const [, ...below] = withAllBelow(program);
  const commands = below.filter(({ commands }) => commands.length === 0);
  const lines = [
    `.TH ${program.name.toUpperCase()} 1 ${date} "tscr\\-unionfs ${version}"`,
    ...section('NAME', [`${program.name} \\- ${roff(title)}`]),
    ...section('SYNOPSIS', [`.B ${roff(program.usage)}`]),
    ...section('DESCRIPTION', [roff(summary)]),
    ...section(
      'OPTIONS',
      program.options.flatMap(({ term, description }) => tagged(term, description)),
    ),
    ...section('COMMANDS', commands.flatMap(commandSection)),
    ...section(
      'EXIT STATUS',
      exit.flatMap(([code, meaning]) => tagged(code, meaning)),
    ),
    ...section(
      'ENVIRONMENT',
      environment.flatMap(([name, meaning]) => tagged(name, meaning)),
    ),
    ...section(
      'FILES',
      files.flatMap(([path, meaning]) => tagged(path, meaning)),
    ),
    ...section('EXAMPLES', ['.EX', ...examples.map(roff), '.EE']),
    ...section('SEE ALSO', [
      seeAlso
        .map((page) => page.replace(/(.*)\((.)\)/, '\\fB$1\\fR($2)'))
        .map((page) => page.replaceAll('-', '\\-'))
        .join(',\n'),
    ]),
  ];
  return `${lines.join('\n')}\n`;
}
