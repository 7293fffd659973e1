/**
 * Which steps change the layers so that the view changes as an operation asks: pure functions, no I/O, no Node.
 *
 * The executor (`execute.ts`) carries these plans out, `unionfs explain` prints them, tests enumerate them.
 *
 * Invariants every plan keeps:
 * - Lower layers are never named by a step that changes anything.
 * - Whatever takes more than one syscall to build is built in work and appears under its name by one rename.
 * - At every step the view shows the old state or the new one.
 * - One step, the commit, makes the operation true. What fails before it leaves the state before; what fails after it
 *   is reported and left, since it is no error of the operation any more.
 *
 * Compare ovl_create_over_whiteout, ovl_remove_and_whiteout and ovl_rename in fs/overlayfs/dir.c, ovl_do_copy_up in
 * copy_up.c.
 */
import type { Kind, LayerEntry, View } from './merge.js';

/** One step; `STEPS` says what each does. */
export type Step = keyof typeof STEPS;

export const STEPS = {
  'make-parents': 'copy up the parent directories that are not in upper yet',
  'make-new-parents': 'copy up the parent directories of the new name',
  'copy-up': 'copy the file up into upper, as "explain --op write" shows',
  'copy-up-target': 'copy the other file up into upper',
  change: 'change the file in upper in place',
  create: 'create the new entry in upper',
  stage: 'create the new entry in work',
  'stage-copy': 'create an empty copy in work',
  'copy-data': 'copy the data, as a reflink where the filesystem can, keeping holes',
  'copy-owner': 'copy owner and group',
  'copy-mode': 'copy the permission bits',
  'copy-xattrs': 'copy extended attributes and ACLs',
  'set-origin': 'record which lower inode it is a copy of',
  'copy-times': 'copy access and modification time',
  sync: 'fsync the copy',
  'mark-opaque': 'set the opaque xattr on the directory in upper, so that nothing below shows through',
  'copy-up-directory': 'copy the directory itself up into upper',
  'set-redirect':
    'set the redirect xattr on the directory in upper: its lower directories stay where they are',
  'copy-up-target-directory': 'copy the other directory itself up into upper',
  'set-target-redirect': 'set the redirect xattr on the other directory in upper',
  'mark-staged-opaque': 'set the opaque xattr on the directory in work',
  'mark-target-opaque': 'set the opaque xattr on the other directory in upper',
  install: 'rename it from work to its name in upper',
  exchange: 'swap it with what upper holds, in one rename (RENAME_EXCHANGE)',
  discard: 'remove what was moved into work',
  'keep-parent-times': 'give the parent directory in upper its times back',
  remove: 'remove the entry from upper',
  retire: 'move the directory, with the whiteouts in it, from upper to work in one rename',
  whiteout: 'create a whiteout in upper',
  'stage-whiteout': 'create a whiteout in work',
  'clear-target':
    'swap the target directory, which holds only whiteouts, with an empty and opaque copy of it from work',
  move: 'rename it within upper',
  'move-leaving-whiteout': 'rename it within upper and leave a whiteout, in one rename (RENAME_WHITEOUT)',
  'move-exchanging': 'swap the two names in upper, in one rename (RENAME_EXCHANGE)',
  'remove-leftover': 'remove the whiteout that the swap left under the old name',
} as const;

/** Steps that can make an operation true. Each is one system call, or undoes what it did when it fails half-way. */
export type CommitStep =
  | 'change'
  | 'create'
  | 'install'
  | 'exchange'
  | 'remove'
  | 'retire'
  | 'whiteout'
  | 'move'
  | 'move-leaving-whiteout'
  | 'move-exchanging';

/** Steps that the view does not depend on: times of a parent, hints, what is left to be cleared away. */
export type FinishStep = 'keep-parent-times' | 'mark-opaque' | 'discard' | 'remove-leftover';

/** What an operation takes. */
export interface Course {
  /** Each may fail, and then the operation has not happened. */
  readonly prepare: readonly Step[];
  /** Makes the operation true; undefined where nothing changes. */
  readonly commit: CommitStep | undefined;
  /** Whatever fails here, the operation has happened. */
  readonly finish: readonly FinishStep[];
}

export type Refusal = 'ENOENT' | 'EEXIST' | 'ENOTDIR' | 'EISDIR' | 'ENOTEMPTY' | 'EROFS' | 'EXDEV';
export type Plan = Course | { readonly refused: Refusal };

const course = (
  prepare: readonly Step[],
  commit: CommitStep | undefined,
  ...finish: FinishStep[]
): Course => ({ prepare, commit, finish });
const refused = (why: Refusal): Plan => ({ refused: why });

/** All steps in their order. */
export function stepsOf({ prepare, commit, finish }: Course): readonly Step[] {
  return commit === undefined ? prepare : [...prepare, commit, ...finish];
}

/** One name as the plans see it. */
export interface Situation {
  /** What upper holds. */
  readonly upper: LayerEntry['is'];
  /** What the lower layers alone would show. */
  readonly below: View['shows'];
  /** Whether upper's directory, if it is one, is opaque. */
  readonly opaque?: boolean;
  /** Whether upper's directory, if it is one, has its lower directories elsewhere. */
  readonly redirected?: boolean;
  /** The parent has lower layers too: a new directory is marked opaque against what may appear below it later. */
  readonly parentMerged?: boolean;
  /** The merged directory has no entries. */
  readonly empty?: boolean;
  /** Upper's directory has no entries at all, not even whiteouts. */
  readonly upperEmpty?: boolean;
}

export type Operation = 'read' | 'write' | 'create' | 'mkdir' | 'unlink' | 'rmdir';

/** What the view shows in a situation. */
export function shown(name: Situation): View['shows'] {
  if (name.upper === 'absent') return name.below;
  return name.upper === 'whiteout' ? 'nothing' : name.upper;
}

/** Whether a name needs a whiteout once upper does not hold it any more. */
const covers = (name: Situation): boolean => name.below !== 'nothing';

const READ = course([], undefined);
const IN_PLACE = course([], 'change');
/** The mode comes after all that it may forbid: an owner sets no attribute of a file that he may not write. */
const ATTRIBUTES: readonly Step[] = ['copy-owner', 'copy-xattrs', 'set-origin', 'copy-mode', 'copy-times'];
const copying = (...data: Step[]): Course =>
  course(['make-parents', 'stage-copy', ...data], 'install', 'keep-parent-times');
const COPY_UP: Record<Kind | 'directory', Course> = {
  file: copying('copy-data', ...ATTRIBUTES, 'sync'),
  directory: copying(...ATTRIBUTES),
  symlink: copying(...ATTRIBUTES),
  special: copying(...ATTRIBUTES),
};

/** Copies what a lower layer shows into upper. */
export function planCopyUp(kind: Kind | 'directory'): Course {
  return COPY_UP[kind];
}

const CREATE = course(['make-parents'], 'create');
const CREATE_OVER_WHITEOUT = course(['make-parents', 'stage'], 'install');
const MKDIR_MERGED = course(['make-parents'], 'create', 'mark-opaque');
const MKDIR_OVER_WHITEOUT = course(['make-parents', 'stage', 'mark-staged-opaque'], 'exchange', 'discard');

function planCreate(name: Situation, directory: boolean): Plan {
  if (shown(name) !== 'nothing') return refused('EEXIST');
  if (name.upper === 'whiteout') return directory ? MKDIR_OVER_WHITEOUT : CREATE_OVER_WHITEOUT;
  return directory && name.parentMerged === true ? MKDIR_MERGED : CREATE;
}

const REMOVE = course([], 'remove');
const WHITEOUT = course(['make-parents'], 'whiteout');
const REPLACE_BY_WHITEOUT = course(['stage-whiteout'], 'install');
const EXCHANGE_WITH_WHITEOUT = course(['stage-whiteout'], 'exchange', 'discard');
/** The kernel swaps it with an empty directory first (ovl_clear_empty): its removal is one rename here. */
const RETIRE = course([], 'retire', 'discard');

function planUnlink(name: Situation): Plan {
  const what = shown(name);
  if (what === 'nothing') return refused('ENOENT');
  if (what === 'directory') return refused('EISDIR');
  if (name.upper === 'absent') return WHITEOUT;
  return covers(name) ? REPLACE_BY_WHITEOUT : REMOVE;
}

function planRmdir(name: Situation): Plan {
  const what = shown(name);
  if (what === 'nothing') return refused('ENOENT');
  if (what !== 'directory') return refused('ENOTDIR');
  if (name.empty === false) return refused('ENOTEMPTY');
  if (name.upper === 'absent') return WHITEOUT;
  if (covers(name)) return EXCHANGE_WITH_WHITEOUT;
  return name.upperEmpty === false ? RETIRE : REMOVE;
}

function planWrite(name: Situation): Plan {
  const what = shown(name);
  if (what === 'nothing') return refused('ENOENT');
  if (name.upper !== 'absent') return IN_PLACE;
  return course(stepsOf(COPY_UP[what]), 'change');
}

/**
 * The steps of an operation on one name. `create` stands for every way to make a new non-directory: open(O_CREAT),
 * mknod, symlink, and link's new name. `write` stands for every change of data, attributes or xattrs.
 */
export function plan(operation: Operation, name: Situation, writable = true): Plan {
  if (operation === 'read') return shown(name) === 'nothing' ? refused('ENOENT') : READ;
  if (!writable) return refused('EROFS');
  switch (operation) {
    case 'write':
      return planWrite(name);
    case 'create':
      return planCreate(name, false);
    case 'mkdir':
      return planCreate(name, true);
    case 'unlink':
      return planUnlink(name);
    case 'rmdir':
      return planRmdir(name);
  }
}

// --- rename ----------------------------------------------------------------------------------------------------

export type RenameMode = 'replace' | 'noreplace' | 'exchange';

/** A directory with lower directories keeps them when it moves, by a redirect. */
const hasLowers = (name: Situation): boolean =>
  shown(name) === 'directory' &&
  name.opaque !== true &&
  (name.redirected === true || name.below === 'directory');

/** Whether a directory that arrives under `target` must be kept from merging with what lies below. */
const needsOpaque = (moved: Situation, target: Situation): boolean =>
  shown(moved) === 'directory' &&
  !hasLowers(moved) &&
  moved.opaque !== true &&
  (covers(target) || target.parentMerged === true);

/** Why `source` may not take the place of `target` (rename(2)). */
function renameRefusal(source: Situation, target: Situation, mode: RenameMode): Refusal | undefined {
  const [from, to] = [shown(source), shown(target)];
  if (from === 'nothing' || (mode === 'exchange' && to === 'nothing')) return 'ENOENT';
  if (mode === 'noreplace' && to !== 'nothing') return 'EEXIST';
  if (mode === 'replace' && to !== 'nothing') {
    if (from === 'directory' && to !== 'directory') return 'ENOTDIR';
    if (from !== 'directory' && to === 'directory') return 'EISDIR';
    if (to === 'directory' && target.empty === false) return 'ENOTEMPTY';
  }
  return undefined;
}

/** What must have happened to an entry before upper's rename moves it to `target`. */
function prepareSource(source: Situation, target: Situation): Step[] {
  const isDirectory = shown(source) === 'directory';
  const list: Step[] = [];
  if (source.upper === 'absent') list.push(isDirectory ? 'copy-up-directory' : 'copy-up');
  if (hasLowers(source)) list.push('set-redirect');
  if (needsOpaque(source, target)) list.push('mark-opaque');
  return list;
}

/** The same steps on the other side of an exchange. */
const MIRRORED: Partial<Record<Step, Step>> = {
  'copy-up': 'copy-up-target',
  'copy-up-directory': 'copy-up-target-directory',
  'set-redirect': 'set-target-redirect',
  'mark-opaque': 'mark-target-opaque',
};

function planExchange(source: Situation, target: Situation): Plan {
  const mirrored = prepareSource(target, source).map((step) => MIRRORED[step] ?? step);
  const prepare: readonly Step[] = [...BOTH_PARENTS, ...prepareSource(source, target), ...mirrored];
  return course(prepare, 'move-exchanging');
}

const BOTH_PARENTS: readonly Step[] = ['make-parents', 'make-new-parents'];

/** The steps that give `source` the name of `target`. Redirects take privilege: a reader trusts only root's. */
export function planRename(
  source: Situation,
  target: Situation,
  mode: RenameMode,
  { writable = true, redirects = true } = {},
): Plan {
  if (!writable) return refused('EROFS');
  const refusal = renameRefusal(source, target, mode);
  if (refusal !== undefined) return refused(refusal);
  const needsRedirect = hasLowers(source) || (mode === 'exchange' && hasLowers(target));
  if (needsRedirect && !redirects) return refused('EXDEV');
  if (mode === 'exchange') return planExchange(source, target);
  const prepare = [...BOTH_PARENTS, ...prepareSource(source, target)];
  if (target.upper === 'whiteout') {
    if (covers(source)) return course(prepare, 'move-exchanging'); // the whiteout changes sides
    if (shown(source) === 'directory') return course(prepare, 'move-exchanging', 'remove-leftover');
  }
  if (target.upper === 'directory' && target.upperEmpty === false) prepare.push('clear-target');
  return course(prepare, covers(source) ? 'move-leaving-whiteout' : 'move');
}
