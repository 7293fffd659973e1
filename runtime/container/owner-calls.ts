/**
 * Which system calls are answered in place of the kernel where one id is all there is, and how.
 *
 * Rules: in a user namespace with one id, ids that are not mapped are refused before a filesystem sees them. A call that
 * names nothing but mapped ids, or -1 ("keep"), is the kernel's; so is every call of another architecture than the
 * native. Giving a file away is recorded. Becoming somebody else is believed to have happened: the process stays who it
 * is, as under fakeroot(1). Compare ignore_chown_errors of containers/storage, which forgets the owners.
 */
import type { Architecture } from './bpf.js';

/** An argument that holds an id, and of which kind. */
interface IdArgument {
  readonly index: number;
  readonly kind: 'uid' | 'gid';
}

/** Where chown(2) and its relatives have their arguments; `flags` -1: none, and the number tells. */
export interface ChownForm {
  readonly descriptor?: number;
  readonly path?: number;
  readonly owner: number;
  readonly flags?: number;
  readonly followsLinks: boolean;
}

export interface OwnerCall {
  readonly name: string;
  readonly numbers: Readonly<Partial<Record<Architecture, number>>>;
  /** Without any, the call is always asked about. */
  readonly ids: readonly IdArgument[];
  /** The call gives a file away; undefined if it concerns the process. */
  readonly chown?: ChownForm;
}

const owner = (index: number): IdArgument[] => [
  { index, kind: 'uid' },
  { index: index + 1, kind: 'gid' },
];
const ids = (kind: IdArgument['kind'], count: number): IdArgument[] =>
  Array.from({ length: count }, (_, index) => ({ index, kind }));

/** The names and arguments are those of section 2 of the manual. */
export const OWNER_CALLS: readonly OwnerCall[] = [
  { name: 'chown', numbers: { x64: 92 }, ids: owner(1), chown: { path: 0, owner: 1, followsLinks: true } },
  { name: 'lchown', numbers: { x64: 94 }, ids: owner(1), chown: { path: 0, owner: 1, followsLinks: false } },
  {
    name: 'fchown',
    numbers: { x64: 93, arm64: 55 },
    ids: owner(1),
    chown: { descriptor: 0, owner: 1, followsLinks: true },
  },
  {
    name: 'fchownat',
    numbers: { x64: 260, arm64: 54 },
    ids: owner(2),
    chown: { descriptor: 0, path: 1, owner: 2, flags: 4, followsLinks: true },
  },
  { name: 'setgroups', numbers: { x64: 116, arm64: 159 }, ids: [] },
  { name: 'setuid', numbers: { x64: 105, arm64: 146 }, ids: ids('uid', 1) },
  { name: 'setgid', numbers: { x64: 106, arm64: 144 }, ids: ids('gid', 1) },
  { name: 'setreuid', numbers: { x64: 113, arm64: 145 }, ids: ids('uid', 2) },
  { name: 'setregid', numbers: { x64: 114, arm64: 143 }, ids: ids('gid', 2) },
  { name: 'setresuid', numbers: { x64: 117, arm64: 147 }, ids: ids('uid', 3) },
  { name: 'setresgid', numbers: { x64: 119, arm64: 149 }, ids: ids('gid', 3) },
  { name: 'setfsuid', numbers: { x64: 122, arm64: 151 }, ids: ids('uid', 1) },
  { name: 'setfsgid', numbers: { x64: 123, arm64: 152 }, ids: ids('gid', 1) },
];
