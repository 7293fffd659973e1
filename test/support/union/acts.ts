/**
 * Operations on names of a stack (`stacks.ts`), one for every plan of `rules/plan.ts` and everything that changes a file in
 * place, and layers with all that a change could lose: owners, times, attributes, ACLs, hard links.
 */
import {
  chmodSync,
  closeSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  openSync,
  readdirSync,
} from 'node:fs';
import { join } from 'node:path';
import type { NewInode, NodeId } from '../../../fs/protocol/filesystem.js';
import { ACL, O, RENAME, S } from '../../../fs/sys/constants.js';
import { setxattrat } from '../../../fs/sys/syscalls.js';
import type { UnionFilesystem } from '../../../fs/union/filesystem.js';
import {
  type Operation,
  type Plan,
  plan,
  planRename,
  type RenameMode,
  shown as shownIn,
  stepsOf,
} from '../../../fs/union/rules/plan.js';
import { UNCHANGED } from '../protocol/bytes.js';
import { CALLER, type Disk, nodeAt } from './disk.js';
import { type Place, pathOf } from './machine.js';
import { build, describe, everyHolding, type Holding, type Stack, situationOf } from './stacks.js';

/** Looks names up as the kernel does and gives the operation itself. */
export type Act = (fs: UnionFilesystem) => () => void;

export interface Scenario {
  readonly label: string;
  /** Several attributes change, each by a system call of its own: death may come in between. */
  readonly inSteps: boolean;
  /** Another entry loses its name by a rename. */
  readonly replaces: boolean;
  /** Redirects in layers are the host's root's alone to read. */
  readonly isRoots: boolean;
  /** Whether kernel overlayfs shows these layers as we do. */
  readonly isKernels: boolean;
  readonly stack: Stack;
  readonly inherits: boolean;
  readonly act: Act;
}

const NAME: Place = { directory: ['p'], name: 'n' };
const BESIDE: Place = { directory: ['p'], name: 'm' };
const ELSEWHERE: Place = { directory: ['q'], name: 'm' };
const FREE = 'free';
/** A second name of the lower file `n`. */
const TWIN = 'n-twin';

// --- what happens

const at = (fs: UnionFilesystem, path: readonly string[]): NodeId => {
  const node = nodeAt(fs, path);
  if (node === undefined) throw new Error(`there is no /${path.join('/')}`);
  return node;
};

const onNode =
  (change: (fs: UnionFilesystem, node: NodeId, parent: NodeId) => void): Act =>
  (fs) => {
    const parent = at(fs, NAME.directory);
    const node = at(fs, pathOf(NAME));
    return () => change(fs, node, parent);
  };

const make =
  (inode: NewInode): Act =>
  (fs) => {
    const parent = at(fs, NAME.directory);
    return () => void fs.create(CALLER, parent, NAME.name, inode);
  };

const node = (mode: number): NewInode => ({ kind: 'node', mode, major: 0, minor: 0, umask: 0o22 });
const set = (changes: object): Act =>
  onNode((fs, on) => void fs.setattr(CALLER, on, { ...UNCHANGED, ...changes }));
const time = { seconds: 1_234_567_890, nanoseconds: 5 };

/** struct posix_acl_xattr: rights for the owner, user 1000, the group, the mask, others. */
export function acl(rights: number): Buffer {
  const NOBODY = 0xffffffff;
  const entries = [
    [0x01, 6, NOBODY],
    [0x02, rights, 1000],
    [0x04, 5, NOBODY],
    [0x10, 7, NOBODY],
    [0x20, 4, NOBODY],
  ] as const;
  const bytes = Buffer.alloc(4 + entries.length * 8);
  bytes.writeUInt32LE(2);
  entries.forEach(([tag, allowed, id], index) => {
    bytes.writeUInt16LE(tag, 4 + index * 8);
    bytes.writeUInt16LE(allowed, 6 + index * 8);
    bytes.writeUInt32LE(id, 8 + index * 8);
  });
  return bytes;
}

type Kinds = 'any' | 'file' | 'no directory' | 'no symlink' | 'plain';

interface Kind {
  readonly operation: Operation;
  readonly on: Kinds;
  readonly act: Act;
  readonly inSteps?: true;
}

const unnamedThenLink: Act = (fs) => {
  const parent = at(fs, NAME.directory);
  const { nodeid } = fs.tmpfile(CALLER, parent, S.IFREG | 0o640, 0);
  fs.write(CALLER, nodeid, 0, Buffer.from('unnamed'), false);
  return () => void fs.link(nodeid, parent, NAME.name);
};

const ACTS: Record<string, Kind> = {
  'create a file': { operation: 'create', on: 'any', act: make(node(S.IFREG | 0o666)) },
  'create a symlink': { operation: 'create', on: 'any', act: make({ kind: 'symlink', target: 'x' }) },
  'create a fifo': { operation: 'create', on: 'any', act: make(node(S.IFIFO | 0o666)) },
  'link an unnamed file': { operation: 'create', on: 'any', act: unnamedThenLink },
  mkdir: {
    operation: 'mkdir',
    on: 'any',
    act: make({ kind: 'directory', mode: S.IFDIR | 0o777, umask: 0o22 }),
  },
  unlink: { operation: 'unlink', on: 'any', act: onNode((fs, _, parent) => fs.unlink(parent, NAME.name)) },
  rmdir: { operation: 'rmdir', on: 'any', act: onNode((fs, _, parent) => fs.rmdir(parent, NAME.name)) },
  write: {
    operation: 'write',
    on: 'file',
    act: onNode((fs, on) => void fs.write(CALLER, on, 1, Buffer.from('changed'), false)),
  },
  truncate: { inSteps: true, operation: 'write', on: 'file', act: set({ size: 1, killSetId: true }) },
  'set everything': {
    inSteps: true,
    operation: 'write',
    on: 'file',
    act: set({ size: 2, mode: 0o601, uid: 7, gid: 8 }),
  },
  'set all but the size': {
    inSteps: true,
    operation: 'write',
    on: 'no symlink',
    act: set({ mode: 0o710, uid: 7, atime: time, mtime: time }),
  },
  chmod: { operation: 'write', on: 'no symlink', act: set({ mode: 0o751 }) },
  chown: { inSteps: true, operation: 'write', on: 'any', act: set({ uid: 7, gid: 9, killSetId: true }) },
  utimes: { operation: 'write', on: 'any', act: set({ atime: time, mtime: time }) },
  setxattr: {
    operation: 'write',
    on: 'plain',
    act: onNode((fs, on) => fs.setxattr(on, 'user.new', Buffer.from('1'), 0, false)),
  },
  'set an ACL': {
    inSteps: true,
    operation: 'write',
    on: 'no symlink',
    act: onNode((fs, on) => fs.setxattr(on, ACL.ACCESS, acl(2), 0, true)),
  },
  removexattr: { operation: 'write', on: 'plain', act: onNode((fs, on) => fs.removexattr(on, 'user.note')) },
  fallocate: { operation: 'write', on: 'file', act: onNode((fs, on) => fs.fallocate(CALLER, on, 0, 0, 100)) },
  'copy a range': {
    operation: 'write',
    on: 'file',
    act: onNode((fs, on) => void fs.copyFileRange(CALLER, on, 0, on, 8, 4)),
  },
  link: {
    operation: 'write',
    on: 'no directory',
    act: onNode((fs, on, parent) => void fs.link(on, parent, FREE)),
  },
};

const FLAGS: Record<RenameMode, number> = {
  replace: 0,
  noreplace: RENAME.NOREPLACE,
  exchange: RENAME.EXCHANGE,
};
const MODES = Object.keys(FLAGS) as RenameMode[];

const move =
  (to: Place, mode: RenameMode): Act =>
  (fs) => {
    const [parent, newParent] = [at(fs, NAME.directory), at(fs, to.directory)];
    at(fs, pathOf(NAME));
    nodeAt(fs, pathOf(to));
    return () => fs.rename(parent, NAME.name, newParent, to.name, FLAGS[mode]);
  };

// --- to what

const isRoots = ({ forms }: Holding): boolean => forms.some((form) => form.includes('redirected'));

/** Kernel overlayfs reads its own marks only, and no directory in two places. */
const isKernels = ({ forms }: Holding): boolean =>
  !forms.some((form) => form.includes('.wh.') || form === 'whiteout xattr' || form.includes('redirected'));

function fits(on: Kinds, shown: string): boolean {
  if (on === 'any') return true;
  if (on === 'file') return shown === 'file';
  if (on === 'no directory') return shown !== 'directory';
  if (on === 'no symlink') return shown !== 'symlink';
  return shown === 'file' || shown === 'directory';
}

const shownAs = (planned: Plan, upper: string, below: string): string =>
  'refused' in planned ? '' : `${stepsOf(planned).join()} ${upper} over ${below}`;

/** One scenario for each plan and what it is about. */
function singles(holdings: readonly Holding[]): Map<string, Scenario> {
  const found = new Map<string, Scenario>();
  for (const holding of holdings) {
    const stack = build([NAME, holding]);
    const situation = situationOf(stack, NAME, holding);
    const { upper, below } = situation;
    const shown = upper === 'absent' ? below : upper;
    for (const [label, { operation, on, act, inSteps = false }] of Object.entries(ACTS)) {
      const planned = plan(operation, situation);
      if ('refused' in planned || !fits(on, shown)) continue;
      for (const inherits of operation === 'create' || operation === 'mkdir' ? [false, true] : [false]) {
        const key = `${label} ${inherits} ${holding.parent} ${shownAs(planned, upper, below)}`;
        if (found.has(key)) continue;
        const where = inherits ? ', in a directory that passes its group and ACL on' : '';
        found.set(key, {
          label: `${label} ${describe(holding)}${where}`,
          stack,
          inherits,
          inSteps,
          replaces: false,
          isRoots: isRoots(holding),
          isKernels: isKernels(holding),
          act,
        });
      }
    }
  }
  return found;
}

function renames(holdings: readonly Holding[]): Map<string, Scenario> {
  const found = new Map<string, Scenario>();
  const situations = new Map(
    holdings.map((holding) => [holding, situationOf(build([NAME, holding]), NAME, holding)]),
  );
  for (const [source, one] of situations) {
    for (const [target, other] of situations) {
      for (const to of source.parent === target.parent ? [BESIDE, ELSEWHERE] : [ELSEWHERE]) {
        for (const mode of MODES) {
          const planned = planRename(one, other, mode);
          if ('refused' in planned) continue;
          const entries = shownAs(planned, `${one.upper} ${other.upper}`, `${one.below} ${other.below}`);
          const key = `${mode} ${to.directory} ${source.parent} ${entries}`;
          if (found.has(key)) continue;
          const stack = build([NAME, source], [to, target]);
          const label = `rename (${mode}) ${describe(source)} to /${pathOf(to).join('/')} ${describe(target)}`;
          found.set(key, {
            label,
            stack,
            inherits: false,
            inSteps: false,
            replaces: mode === 'replace' && shownIn(other) !== 'nothing',
            isRoots: isRoots(source) || isRoots(target),
            isKernels: isKernels(source) && isKernels(target),
            act: move(to, mode),
          });
        }
      }
    }
  }
  return found;
}

/** Two layers, and files for all that is no directory, say all that a rename depends on. */
const few = (): Holding[] =>
  everyHolding().filter(
    ({ forms: [top, middle, bottom] }) =>
      bottom === 'absent' &&
      [top, middle].every((form) => form !== 'special' && form !== 'symlink') &&
      !middle.includes('redirected'),
  );

/** Every plan with every kind of entry that it can be about. */
export function everyScenario(): Scenario[] {
  return [...singles(everyHolding()).values(), ...renames(few()).values()];
}

// --- on disk

const OLD = 1_000_000_000;
const OWNER = 1000;

/** Gives everything in a layer what a copy or a swap could lose. What directories pass on, the topmost ones only if told. */
function adorn(directory: string, layer: number, passesOn: boolean): void {
  const dirfd = openSync(directory, O.RDONLY | O.DIRECTORY);
  try {
    for (const name of readdirSync(directory)) {
      const path = join(directory, name);
      const stat = lstatSync(path);
      if (stat.isDirectory()) adorn(path, layer, true);
      else if (stat.isCharacterDevice()) continue;
      lchownSync(path, OWNER, OWNER);
      if (stat.isDirectory() && passesOn) {
        chmodSync(path, S.ISGID | stat.mode);
        setxattrat(dirfd, name, ACL.DEFAULT, acl(1));
      }
      if (stat.isDirectory() || stat.isFile()) {
        setxattrat(dirfd, name, 'user.note', Buffer.from(`${name} in layer ${layer}`));
        setxattrat(dirfd, name, ACL.ACCESS, acl(3));
      }
      lutimesSync(path, OLD, OLD + stat.size);
    }
  } finally {
    closeSync(dirfd);
  }
}

/** Writes layers that have everything a change could lose. @param link gives files of a layer further names */
export function writeLayers(
  disk: Disk,
  { upper, lowers }: Pick<Stack, 'upper' | 'lowers'>,
  link: (directory: string, layer: number) => void,
  inherits = false,
): void {
  disk.write(upper, lowers);
  for (const [index, layer] of disk.layers.entries()) {
    link(layer, index);
    adorn(layer, index, inherits);
    lutimesSync(layer, OLD, OLD);
  }
}

/** Writes a scenario's layers. A lower file has a second name. */
export function writeScenario(disk: Disk, { stack, inherits }: Scenario): void {
  const link = (directory: string, layer: number): void => {
    const parent = join(directory, ...NAME.directory);
    if (layer > 0 && isFile(join(parent, NAME.name))) linkSync(join(parent, NAME.name), join(parent, TWIN));
  };
  writeLayers(disk, stack, link, inherits);
}

const isFile = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false })?.isFile() === true;
