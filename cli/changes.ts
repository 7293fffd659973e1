/** How changes to a stack of layers are shown: a line each, as `docker diff` does, or JSON. */
import { type Change, diff } from '../fs/union/diff.js';
import type { Stack } from '../fs/union/stack.js';
import { viewOf } from '../fs/union/view.js';
import { printJson } from './output.js';

/** Prints what `upper` changes. */
export function printChanges({ upper, lowers }: Stack & { readonly upper: string }, asJson: boolean): void {
  const merged = viewOf({ upper, lowers });
  const lower = lowers.length === 0 ? undefined : viewOf({ lowers });
  try {
    const changes = [...diff(merged, lower)];
    if (asJson) printJson(changes.map(({ kind, path }) => ({ kind, path: toText(path) })));
    else for (const change of changes) process.stdout.write(line(change));
  } finally {
    merged.close();
    lower?.close();
  }
}

const toText = (path: string): string => Buffer.from(path, 'latin1').toString();

/** Names are bytes and are written as they are. */
const line = ({ kind, path }: Change): Buffer => Buffer.from(`${kind} ${path}\n`, 'latin1');
