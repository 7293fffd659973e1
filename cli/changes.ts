/** How changes to a stack of layers are shown: a line each, as `docker diff` does, or JSON. */
import { closeSync, openSync } from 'node:fs';
import { shownBytes } from '../fs/input/shown.js';
import type { Time } from '../fs/sys/stat.js';
import { compare } from '../fs/union/compare.js';
import { type Change, diff } from '../fs/union/diff.js';
import type { Stack } from '../fs/union/stack.js';
import { viewOf } from '../fs/union/view.js';
import { print, printJson } from './output.js';

/** A stack whose upper holds the changes, or a copy of the lowers that was complete at the time `copied`. */
export interface ChangedStack extends Stack {
  readonly upper: string;
  readonly copied?: Time;
}

/** Prints what `upper` changes. */
export function printChanges(stack: ChangedStack, asJson: boolean): void {
  const { upper, lowers, copied } = stack;
  const changes = copied === undefined ? inUpper(upper, lowers) : inCopy(upper, lowers, copied);
  if (asJson) printJson(changes.map(({ kind, path }) => ({ kind, path: toText(path) })));
  else for (const change of changes) print(line(change));
}

function inUpper(upper: string, lowers: readonly string[]): Change[] {
  const merged = viewOf({ upper, lowers });
  const lower = lowers.length === 0 ? undefined : viewOf({ lowers });
  try {
    return [...diff(merged, lower)];
  } finally {
    merged.close();
    lower?.close();
  }
}

function inCopy(copy: string, lowers: readonly string[], copied: Time): Change[] {
  const lower = viewOf({ lowers });
  const fd = openSync(copy, 'r');
  try {
    return [...compare(fd, lower, copied)];
  } finally {
    closeSync(fd);
    lower.close();
  }
}

const toText = (path: string): string => Buffer.from(path, 'latin1').toString();

const line = ({ kind, path }: Change): string => `${kind} ${shownBytes(path)}`;
