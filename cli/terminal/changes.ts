/** How changes to a stack of layers are shown: a line each, as `docker diff` does, or JSON. */

import { type Change, type ChangedStack, changes } from '../../fs/index.js';
import { shownBytes } from '../../fs/input/shown.js';
import { print, printJson } from './output.js';

/** Prints the changes while they are found. */
export function printChanges(stack: ChangedStack, asJson: boolean): void {
  if (asJson) printJson([...changes(stack)].map(({ kind, path }) => ({ kind, path: toText(path) })));
  else for (const change of changes(stack)) print(line(change));
}

const toText = (path: string): string => Buffer.from(path, 'latin1').toString();

const line = ({ kind, path }: Change): string => `${kind} ${shownBytes(path)}`;
