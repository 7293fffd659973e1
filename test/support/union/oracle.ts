/**
 * What operations do to a plain directory tree, and when they fail (open(2), mkdir(2), unlink(2), rmdir(2),
 * rename(2), renameat2(2)): the other half of the oracle.
 */
import type { Operation, Refusal, RenameMode } from '../../../fs/union/rules/plan.js';
import { type Place, pathOf } from './machine.js';
import { descend, inode, replaceIn, SET_ID, type Seen, touchIn } from './model.js';

export type Outcome = { readonly view: Seen } | { readonly refused: Refusal };

export const isEmpty = (directory: Seen): boolean => Object.keys(directory.children).length === 0;
export const kindIn = (seen: Seen | undefined): Seen['kind'] | 'nothing' => seen?.kind ?? 'nothing';

function born(kind: 'file' | 'directory'): Seen {
  const { owner, mode, xattrs, times } = inode(kind, 'new');
  return { kind, ino: 'new', data: '', owner, mode, xattrs, times, from: ['new'], children: {} };
}

function put(view: Seen, at: Place, seen: Seen | undefined): Seen {
  return touchIn(replaceIn(view, pathOf(at), seen), at.directory);
}

/** Whoever writes without the host's CAP_FSETID loses set-id bits of the file (file_remove_privs). */
function changed(seen: Seen, keepsSetId: boolean): Seen {
  const mode = keepsSetId || seen.kind !== 'file' ? seen.mode : seen.mode & ~SET_ID;
  return { ...seen, mode, data: seen.kind === 'file' ? 'changed' : seen.data, xattrs: ['user.changed'] };
}

/** The errno values of open(2), mkdir(2), unlink(2), rmdir(2). */
function refusal(operation: Operation, seen: Seen | undefined): Refusal | undefined {
  const exists = seen !== undefined;
  if (operation === 'create' || operation === 'mkdir') return exists ? 'EEXIST' : undefined;
  if (!exists) return 'ENOENT';
  if (operation === 'unlink') return seen.kind === 'directory' ? 'EISDIR' : undefined;
  if (operation !== 'rmdir') return undefined;
  if (seen.kind !== 'directory') return 'ENOTDIR';
  return isEmpty(seen) ? undefined : 'ENOTEMPTY';
}

/** @param keepsSetId whether a write leaves set-id bits alone */
export function perform(operation: Operation, view: Seen, at: Place, keepsSetId: boolean): Outcome {
  const seen = descend(view, pathOf(at));
  const refused = refusal(operation, seen);
  if (refused !== undefined) return { refused };
  if (operation === 'read' || seen === undefined) {
    if (operation === 'read') return { view };
    return { view: put(view, at, born(operation === 'mkdir' ? 'directory' : 'file')) };
  }
  if (operation === 'write') return { view: replaceIn(view, pathOf(at), changed(seen, keepsSetId)) };
  return { view: put(view, at, undefined) };
}

/** Whether a directory has something in lower layers, as its ids tell (`stacks.ts`: upper is layer 0). */
const hasLowers = (seen: Seen | undefined): boolean =>
  seen?.kind === 'directory' && seen.from.some((id) => /@[1-9]/.test(id));

/** rename(2), renameat2(2). */
function renameRefusal(from: Seen | undefined, to: Seen | undefined, mode: RenameMode): Refusal | undefined {
  if (from === undefined) return 'ENOENT';
  if (mode === 'exchange') return to === undefined ? 'ENOENT' : undefined;
  if (to === undefined) return undefined;
  if (mode === 'noreplace') return 'EEXIST';
  if (to.kind !== 'directory') return from.kind === 'directory' ? 'ENOTDIR' : undefined;
  if (from.kind !== 'directory') return 'EISDIR';
  return isEmpty(to) ? undefined : 'ENOTEMPTY';
}

/** @param redirects whether directories of lower layers are renamed */
export function performRename(
  view: Seen,
  at: Place,
  to: Place,
  mode: RenameMode,
  redirects: boolean,
): Outcome {
  const [moved, replaced] = [descend(view, pathOf(at)), descend(view, pathOf(to))];
  const refused = renameRefusal(moved, replaced, mode);
  if (refused !== undefined) return { refused };
  if (!redirects && (hasLowers(moved) || (mode === 'exchange' && hasLowers(replaced))))
    return { refused: 'EXDEV' };
  return { view: put(put(view, at, mode === 'exchange' ? replaced : undefined), to, moved) };
}
