/**
 * The system calls that the supervisor answers instead of the kernel in a user namespace with one id.
 *
 * Rules: the kernel refuses ids that are not mapped before a filesystem sees them. The kernel handles a chown(2) with only
 * the mapped ids or -1 (no change), and calls of other architectures than the native one. Calls that change or return the
 * identity of a process are always answered: a process appears to have the new ids, as under fakeroot(1). Calls that
 * return owners are answered so that recorded owners are seen, and mknod(2) of devices for the same reason. Names and arguments are those of section 2 of the manual.
 */
import type { ArchitectureName } from '../../../fs/sys/architecture.js';

/** The positions of the arguments that name a file. */
export interface FileForm {
  readonly descriptor?: number;
  readonly path?: number;
  readonly flags?: number;
  readonly followsLinks: boolean;
}

/** chown(2) and its relatives. */
export interface ChownForm extends FileForm {
  /** Position of the uid; the gid follows. */
  readonly owner: number;
}

/** stat(2) and its relatives. */
export interface StatForm extends FileForm {
  readonly buffer: number;
  /** Position of statx(2)'s mask; only statx(2) has one. */
  readonly mask?: number;
}

/** mknod(2), whose device follows its mode. */
export interface MknodForm extends FileForm {
  readonly mode: number;
}

export interface OwnerCall {
  readonly name: string;
  readonly numbers: Readonly<Partial<Record<ArchitectureName, number>>>;
  /** The call changes an owner, returns one, or creates a node; without any of these it concerns the process's identity. */
  readonly chown?: ChownForm;
  readonly stat?: StatForm;
  readonly mknod?: MknodForm;
}

const identity = (name: string, x64: number, arm64: number): OwnerCall => ({ name, numbers: { x64, arm64 } });

export const OWNER_CALLS: readonly OwnerCall[] = [
  { name: 'chown', numbers: { x64: 92 }, chown: { path: 0, owner: 1, followsLinks: true } },
  { name: 'lchown', numbers: { x64: 94 }, chown: { path: 0, owner: 1, followsLinks: false } },
  { name: 'fchown', numbers: { x64: 93, arm64: 55 }, chown: { descriptor: 0, owner: 1, followsLinks: true } },
  {
    name: 'fchownat',
    numbers: { x64: 260, arm64: 54 },
    chown: { descriptor: 0, path: 1, owner: 2, flags: 4, followsLinks: true },
  },
  { name: 'stat', numbers: { x64: 4 }, stat: { path: 0, buffer: 1, followsLinks: true } },
  { name: 'lstat', numbers: { x64: 6 }, stat: { path: 0, buffer: 1, followsLinks: false } },
  { name: 'fstat', numbers: { x64: 5, arm64: 80 }, stat: { descriptor: 0, buffer: 1, followsLinks: true } },
  {
    name: 'newfstatat',
    numbers: { x64: 262, arm64: 79 },
    stat: { descriptor: 0, path: 1, buffer: 2, flags: 3, followsLinks: true },
  },
  {
    name: 'statx',
    numbers: { x64: 332, arm64: 291 },
    stat: { descriptor: 0, path: 1, flags: 2, mask: 3, buffer: 4, followsLinks: true },
  },
  { name: 'mknod', numbers: { x64: 133 }, mknod: { path: 0, mode: 1, followsLinks: false } },
  {
    name: 'mknodat',
    numbers: { x64: 259, arm64: 33 },
    mknod: { descriptor: 0, path: 1, mode: 2, followsLinks: false },
  },
  identity('setuid', 105, 146),
  identity('setgid', 106, 144),
  identity('setreuid', 113, 145),
  identity('setregid', 114, 143),
  identity('setresuid', 117, 147),
  identity('setresgid', 119, 149),
  identity('setgroups', 116, 159),
  identity('setfsuid', 122, 151),
  identity('setfsgid', 123, 152),
  identity('getuid', 102, 174),
  identity('geteuid', 107, 175),
  identity('getgid', 104, 176),
  identity('getegid', 108, 177),
  identity('getresuid', 118, 148),
  identity('getresgid', 120, 150),
  identity('getgroups', 115, 158),
];

/** The call with a number; undefined for a call that is not in this table. */
export const callOf = (number: number, architecture: ArchitectureName): OwnerCall | undefined =>
  OWNER_CALLS.find(({ numbers }) => numbers[architecture] === number);
