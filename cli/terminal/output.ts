/**
 * How the programs talk: tables, JSON, and errors of one line.
 *
 * Rule: here text from outside (labels, history, names of files and containers, command lines, quoted values) becomes
 * output, and here it is made harmless (`fs/input/shown.ts`), whether or not a terminal reads it: cells and errors are
 * one line each, and control characters leave as escapes. JSON stays JSON, with \u escapes.
 */
import { isMainThread } from 'node:worker_threads';
import { cut, shown, shownJson, shownLines } from '../../fs/input/shown.js';
import { report } from '../../fs/sys/report.js';

/** Characters of a message; what is longer is not for reading. */
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

/** Lines; what comes from outside is one of them only if it is `shown`. */
export function print(text: string): void {
  process.stdout.write(`${shownLines(text)}\n`);
}

export function printJson(value: unknown): void {
  print(shownJson(JSON.stringify(value, null, 2)));
}

/** One line, at once, also in a thread, whose streams are the main thread's to write. */
export function warn(text: string): void {
  const line = cut(shown(text), MESSAGE_MAX);
  if (isMainThread) process.stderr.write(`${line}\n`);
  else report(line);
}

/** For options that may be repeated (commander's argument parser). */
export const collect = (value: string, all: readonly string[]): string[] => [...all, value];
