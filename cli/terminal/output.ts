/**
 * Output of the programs: tables, JSON, and one-line errors.
 *
 * Rule: text from outside (labels, history, names, command lines, quoted values) is escaped here (`fs/input/shown.ts`), on
 * terminals and elsewhere: cells and errors are one line each, and control characters are printed as escapes. JSON stays
 * valid, with \u escapes.
 */
import { isMainThread } from 'node:worker_threads';
import { cut, shown, shownJson, shownLines } from '../../fs/input/shown.js';
import { report } from '../../fs/sys/report.js';

/** Maximum characters of a message. */
const MESSAGE_MAX = 4096;

/** Text columns, left-aligned, two spaces between; no trailing spaces. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows].map((line) => line.map(shown));
  const widths = header.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  const format = (line: readonly string[]): string =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return lines.map(format).join('\n');
}

/** Prints lines; text from outside must be escaped with `shown`, or it may contain line feeds. */
export function print(text: string): void {
  process.stdout.write(`${shownLines(text)}\n`);
}

export function printJson(value: unknown): void {
  print(shownJson(JSON.stringify(value, null, 2)));
}

let prefix = '';

/** Sets the beginning of every line of `warn`. @param name program and command, e.g. "tscr run" */
export function setPrefix(name: string): void {
  prefix = `${name}: `;
}

/** Writes an error or a warning, after program and command, as one line on standard error. */
export const warn = (text: string): void => note(prefix + text);

/** Writes one line on standard error at once; also in a thread, whose own streams the main thread would write. */
export function note(text: string): void {
  const line = cut(shown(text), MESSAGE_MAX);
  if (isMainThread) process.stderr.write(`${line}\n`);
  else report(line);
}

/** For options that may be repeated (commander's argument parser). */
export const collect = (value: string, all: readonly string[]): string[] => [...all, value];
