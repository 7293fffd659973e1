// Rule: one session is one fresh mount; its steps run in order on it, and end by proving that the
// work was done: a file system that loses files must not win.

import type { TreeFacts } from '../tree.js';
import { find } from './find.js';
import { rm } from './rm.js';
import { tar } from './tar.js';
import { untar } from './untar.js';

/** One shell command of a client, which sees $MOUNT and $ARCHIVE. */
export interface Step {
  readonly script: string;
  /** The row of the report this step is timed for; without one it only prepares or checks. */
  readonly row?: string;
  /** What the script must print. */
  readonly expect?: (tree: TreeFacts) => string;
}

export interface Session {
  /** Whether it starts without anything in the page cache (only a disk can be cold). */
  readonly cold: boolean;
  readonly steps: readonly Step[];
}

export const SESSION_NAMES = ['find', 'tar', 'untar+rm'] as const;
export type SessionName = (typeof SESSION_NAMES)[number];

/** Unpacking and removing share a mount, because what rm removes is what untar has just unpacked. */
export const SESSIONS: Readonly<Record<SessionName, Session>> = {
  find: { cold: true, steps: find },
  tar: { cold: true, steps: tar },
  'untar+rm': { cold: false, steps: [...untar, ...rm] },
};
