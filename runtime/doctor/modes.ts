/**
 * How each command works on an examined host. Pure functions; rootless modes are those of `rootless/mode.ts`.
 *
 * Rule: a command that does not work names the findings that prevent it, which have the fixes.
 */

import { chooseMode, chooseStorage } from '../rootless/mode.js';
import type { Facts } from './facts.js';
import { deviceWorks, fuseMounts } from './fuse.js';
import { fusermountWorks } from './fusermount.js';
import type { Identity } from './identity.js';
import { kernelSuffices } from './kernel.js';
import { keepsMarks } from './store.js';

export interface Mode {
  /** What the user types, e.g. "tscr run". */
  readonly command: string;
  /** "root", "ranges", "one-id"; "mount", "fusermount3", "exec-only", "user-namespace"; "refused". */
  readonly mode: string;
  /** For commands that make a container's root. */
  readonly storage?: string;
  /** A description for people. */
  readonly detail: string;
  /** Ids of the findings that prevent it. */
  readonly because: readonly string[];
}

export const REFUSED = 'refused';

export function modesOf(facts: Facts): Mode[] {
  return [modeOfRun(facts), modeOfImages(facts), modeOfMount(facts), modeOfExec(facts)];
}

const refused = (command: string, because: readonly string[]): Mode => ({
  command,
  mode: REFUSED,
  detail: 'does not work',
  because,
});

/** Root without CAP_SYS_ADMIN, which cannot create a user namespace either. */
const isPowerless = ({ uid, admin }: Identity): boolean => uid === 0 && !admin;

const MODES = {
  root: 'as root',
  ranges: 'in a user namespace with subordinate ids',
  'one-id': 'in a user namespace with one id; other owners are virtual',
} as const;
const STORAGE = {
  unionfs: 'unionfs',
  overlay: "the kernel's overlayfs",
  copy: 'a full copy of the layers',
} as const;

function modeOfRun(facts: Facts): Mode {
  const command = 'tscr run';
  const { kernel, seccomp, store, identity, fuse } = facts;
  const rootlessMode = chooseMode(facts.modeFacts);
  const { driver: storage } = chooseStorage({
    fuseRefusal: fuse.refusal,
    marks: keepsMarks(store),
    overlay: rootlessMode !== 'one-id' && facts.overlay.works,
  });
  const because = [
    ...(kernelSuffices(kernel) ? [] : ['kernel.release']),
    ...(seccomp.inKernel ? [] : ['seccomp.kernel']),
    ...(seccomp.library ? [] : ['seccomp.library']),
    ...storeRefuses(store.trial),
    ...(rootlessMode === undefined ? ['userns.create'] : []),
    ...(isPowerless(identity) ? ['identity.admin'] : []),
    ...(kernel.ownProc ? [] : ['kernel.proc']),
    ...(facts.trial?.outcomes['auto'] === undefined ? [] : ['run.trial']),
  ];
  if (because.length === 0 && storage === 'unionfs' && !fuseMounts(fuse)) because.push('fuse.features');
  if (rootlessMode === undefined || because.length > 0) return refused(command, because);
  return {
    command,
    mode: rootlessMode,
    storage,
    detail: `${MODES[rootlessMode]}, on ${STORAGE[storage]}`,
    because,
  };
}

function storeRefuses(trial: Facts['store']['trial']): string[] {
  if (trial === undefined) return ['store.writable'];
  return trial.symlinks ? [] : ['store.symlinks'];
}

const OWNERS = {
  root: 'as root, owners as in the image',
  ranges: 'in a user namespace; owners are subordinate ids',
  'one-id': 'without privilege; owners are recorded in extended attributes',
} as const;

/** Image commands need no user namespace: without one all files belong to the caller. */
function modeOfImages(facts: Facts): Mode {
  const command = 'tscr load, save, images, history ...';
  const because = storeRefuses(facts.store.trial);
  if (because.length > 0) return refused(command, because);
  const rootlessMode = chooseMode(facts.modeFacts) ?? 'one-id';
  return { command, mode: rootlessMode, detail: OWNERS[rootlessMode], because };
}

function modeOfMount(facts: Facts): Mode {
  const command = 'unionfs mount';
  const { identity, fuse, fusermount } = facts;
  if (isPowerless(identity)) return refused(command, ['identity.admin']);
  if (!deviceWorks(fuse)) return refused(command, ['fuse.device']);
  if (identity.admin) {
    if (fuseMounts(fuse)) return { command, mode: 'mount', detail: 'by mount(2)', because: [] };
    return refused(command, ['fuse.features']);
  }
  if (fusermountWorks(fusermount, identity)) {
    return { command, mode: 'fusermount3', detail: 'by fusermount3', because: [] };
  }
  const because = fusermount.program.privileged ? ['identity.privileges'] : ['fusermount.program'];
  if (!fuseMounts(fuse)) return refused(command, because);
  return {
    command,
    mode: 'exec-only',
    detail: 'use "unionfs exec"; mounts that other processes see are not possible',
    because,
  };
}

function modeOfExec({ identity, fuse, modeFacts }: Facts): Mode {
  const command = 'unionfs exec';
  if (isPowerless(identity)) return refused(command, ['identity.admin']);
  if (!deviceWorks(fuse)) return refused(command, ['fuse.device']);
  if (fuseMounts(fuse)) {
    const where = identity.admin ? 'in a mount namespace' : 'in a user namespace';
    return { command, mode: identity.admin ? 'mount' : 'user-namespace', detail: where, because: [] };
  }
  return refused(command, [modeFacts.userNamespaces ? 'fuse.features' : 'userns.create']);
}
