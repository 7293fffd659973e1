/**
 * What the differential test tries: a stack of layers and a sequence of operations, both drawn by fast-check.
 *
 * Rule: few names and shallow paths, so that operations meet each other and every form of layer entry. Names are
 * paths below the scenario's own directory.
 */
import fc from 'fast-check';
import { IS_HOST_ROOT, SECOND_NAMESPACE } from '../support/privilege.js';

/** One entry of one layer. What cannot be made, because another entry is in its way, is left out. */
export interface LayerEntry {
  readonly path: string;
  readonly kind: 'file' | 'sparse' | 'directory' | 'symlink' | 'fifo' | 'link' | 'whiteout' | 'opaque';
  /** A file's content, a symlink's target, the other name of a hard link. */
  readonly content: string;
  readonly mode: number;
  readonly uid: number;
  /** Attributes too. */
  readonly attributes: boolean;
  /** The rights in an access ACL's entry for a user; a directory has a default ACL too. */
  readonly acl: number | null;
  /** Which of the forms of a whiteout or of an opaque directory. */
  readonly form: number;
}

/** One operation; the client in `perform.ts` has a function of each name. */
export interface Operation {
  readonly call: string;
  readonly arguments: readonly (string | number)[];
  readonly uid: number;
}

export interface Scenario {
  /** The entries of each lower layer, the top one first; the last layers may be missing. */
  readonly layers: readonly (readonly LayerEntry[])[];
  readonly operations: readonly Operation[];
}

/** Scenarios that share a mount, each in a directory of its own. */
export interface Batch {
  readonly lowers: number;
  /** Deletions also in the forms that the kernel does not read. */
  readonly allForms: boolean;
  readonly scenarios: readonly Scenario[];
}

const USERS = [0, 0, 0, 1000];
const MODES = [0o644, 0o755, 0o600, 0o4755, 0o2775, 0o1777];
const MAX_LOWERS = 6;
const MAX_ENTRIES = 9;
const MAX_OPERATIONS = 16;
const PLACES = 30_000;

const name = fc.constantFrom('a', 'b', 'c');
const pathOf = (...lengths: readonly fc.Arbitrary<string>[]) =>
  fc.tuple(...lengths).map((names) => names.join('/'));
const path = fc.oneof(pathOf(name), pathOf(name, name), pathOf(name, name), pathOf(name, name, name));
const mode = fc.constantFrom(...MODES);
const uid = fc.constantFrom(...USERS);
const content = fc.string({ minLength: 0, maxLength: 12, unit: 'grapheme-ascii' });
const target = fc.oneof(path, fc.constantFrom('../a', 'missing', '.'));
const rights = fc.nat({ max: 7 });
const which = fc.constantFrom('access', 'default');
const place = fc.integer({ min: 0, max: PLACES });

const layerEntry: fc.Arbitrary<LayerEntry> = fc.record({
  path,
  kind: fc.constantFrom(
    ...([
      'file',
      'file',
      'sparse',
      'directory',
      'directory',
      'directory',
      'symlink',
      'fifo',
      'link',
      'whiteout',
      'opaque',
    ] as const),
  ),
  content: fc.oneof(content, path),
  mode,
  uid,
  attributes: fc.boolean(),
  acl: fc.oneof(fc.constant(null), fc.constant(null), rights),
  form: fc.nat({ max: 3 }),
});

const CALLS: Record<string, readonly fc.Arbitrary<string | number>[]> = {
  create: [path, mode, content],
  write: [path, place, content],
  append: [path, content],
  truncate: [path, place],
  mkdir: [path, mode],
  rmdir: [path],
  unlink: [path],
  rename: [path, path],
  rename_noreplace: [path, path],
  exchange: [path, path],
  link: [path, path],
  symlink: [target, path],
  fifo: [path, mode],
  temporary: [path, path, content],
  chmod: [path, mode],
  chown: [path, uid, uid],
  utime: [path, place],
  setxattr: [path, fc.constantFrom('user.test', `${SECOND_NAMESPACE}test`, 'user.other'), content],
  removexattr: [path, fc.constantFrom('user.test', `${SECOND_NAMESPACE}test`)],
  set_acl: [path, which, rights],
  remove_acl: [path, which],
  punch: [path, place, place],
  holes: [path],
  open: [path, fc.nat({ max: 1 })],
  open_for_reading: [path, fc.nat({ max: 1 })],
  read_again: [fc.nat({ max: 1 })],
  read_open: [fc.nat({ max: 1 })],
  write_open: [fc.nat({ max: 1 }), place, content],
  link_open: [fc.nat({ max: 1 }), path],
  list: [path],
  stat: [path],
  read: [path],
  readlink: [path],
  listxattr: [path],
};

/**
 * Calls whose oracle is the plain directory alone: kernel overlayfs goes on reading the lower file after a copy-up,
 * refuses to remove an ACL that is not there from a file it has not copied up, and copies up a hole at a file's end as
 * data.
 */
export const NOT_AS_THE_KERNEL: ReadonlySet<string> = new Set(['read_again', 'remove_acl', 'holes']);

export const operation: fc.Arbitrary<Operation> = fc.oneof(
  ...Object.entries(CALLS).map(([call, parts]) =>
    fc.record({ call: fc.constant(call), arguments: fc.tuple(...parts), uid }),
  ),
);

export const layer = fc.array(layerEntry, { minLength: 2, maxLength: MAX_ENTRIES, size: 'max' });
/**
 * Where a layer above hides one of two names, a link count says so on every union, but not on a plain directory. Without
 * the host's root there is no index of hard links, so there are none in layers.
 */
const withoutLinks = layer.map((entries) => entries.filter(({ kind }) => kind !== 'link'));

const scenario: fc.Arbitrary<Scenario> = fc.record({
  layers: fc
    .tuple(
      IS_HOST_ROOT ? layer : withoutLinks,
      fc.array(withoutLinks, { maxLength: MAX_LOWERS - 1, size: 'max' }),
    )
    .map(([top, others]) => [top, ...others]),
  operations: fc.array(operation, { minLength: 1, maxLength: MAX_OPERATIONS, size: 'max' }),
});

/** @param size scenarios in a batch */
export function batches(size: number): fc.Arbitrary<Batch> {
  return fc.record({
    lowers: fc.integer({ min: 1, max: MAX_LOWERS }),
    allForms: fc.boolean(),
    scenarios: fc.array(scenario, { minLength: 1, maxLength: size, size: 'max' }),
  });
}
