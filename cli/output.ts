/** How the programs talk: tables, JSON, and errors of one line. */
import { writeSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const STDERR = 2;

/** Text columns, left-aligned, two spaces between; no trailing spaces. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  const format = (line: readonly string[]): string =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return lines.map(format).join('\n');
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

/** At once, also in a thread, whose streams are the main thread's to write. */
export function warn(text: string): void {
  if (isMainThread) process.stderr.write(`${text}\n`);
  else writeSync(STDERR, `${text}\n`);
}

/** For options that may be repeated (commander's argument parser). */
export const collect = (value: string, all: readonly string[]): string[] => [...all, value];
