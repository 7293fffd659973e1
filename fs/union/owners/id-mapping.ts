/**
 * Ownership without privilege: which ids, modes and types are shown for those that an inode has.
 *
 * Rules:
 * - Ids are translated by ranges, as the options `uidmapping=` and `gidmapping=` of fuse-overlayfs give them; an id
 *   outside of all ranges is the overflow id. Squashing comes first and works on what is shown only.
 * - An owner that an inode cannot have is kept in an attribute, "UID:GID:MODE[:TYPE]": MODE is octal, TYPE one of dir,
 *   file, symlink, pipe, socket, block-MAJOR-MINOR and char-MAJOR-MINOR. Its ids are translated like an inode's.
 * - In a plain copy, which users see without a union, inodes have their own modes: the attribute beside them tells only
 *   owners, and what devices there are, as nobody without privilege can make one (`COPY_OVERRIDE`).
 * - The attribute can be written by whoever may write to the file, so it is hostile input: what is not of this form,
 *   or contradicts the inode it is found on, is refused.
 *
 * Nothing here does I/O. Compare find_mapping and override_mode in fuse-overlayfs, and FormatContainersOverrideXattr in
 * containers/storage's pkg/idtools.
 */
import { S } from '../../sys/constants.js';
import { E, Errno } from '../../sys/errno.js';
import { UsageError } from '../../sys/refusal.js';
import type { Stat } from '../../sys/stat.js';
import { CONTAINERS_OVERRIDE, type OverrideXattr, PRIVILEGED_OVERRIDE } from '../layers/owner-xattrs.js';

/** `length` ids on disk, from `disk`, that are shown as those from `shown`. */
export interface IdRange {
  readonly disk: number;
  readonly shown: number;
  readonly length: number;
}

/** What the options of a mount say about owners. */
export interface Ownership {
  /** Without ranges ids stay as they are. */
  readonly uids?: readonly IdRange[];
  readonly gids?: readonly IdRange[];
  /** Everything is shown as this user's, or this group's. */
  readonly squashUid?: number;
  readonly squashGid?: number;
  /** Where owners and modes in upper are kept: the inode, or an attribute for which this right is needed. */
  readonly keep?: 'privileged' | 'user';
}

/** The attribute that a mount writes owners to. */
export const keepingXattr = (keep: 'privileged' | 'user'): OverrideXattr =>
  keep === 'privileged' ? PRIVILEGED_OVERRIDE : CONTAINERS_OVERRIDE;

/** What stat(2) shows for an id without a meaning here (/proc/sys/kernel/overflowuid). */
export const OVERFLOW_ID = 65534;
/** The id that chown(2) takes for "keep". */
const NO_ID = 2 ** 32 - 1;
const TRIPLE = 3;

/**
 * Reads "DISK:SHOWN:LENGTH", repeated, all joined by colons; empty parts, such as a leading colon makes, do not count.
 * @throws UsageError
 */
export function parseIdRanges(text: string): IdRange[] {
  const numbers = text.split(':').filter((part) => part !== '');
  const valid = numbers.every((part) => /^\d{1,10}$/.test(part) && Number(part) <= NO_ID);
  if (!valid || numbers.length === 0 || numbers.length % TRIPLE !== 0) {
    throw new UsageError(`invalid id mapping "${text}": use "DISK:SHOWN:LENGTH", repeated with ":"`);
  }
  return Array.from({ length: numbers.length / TRIPLE }, (_, index) => {
    const [disk, shown, length] = numbers.slice(index * TRIPLE).map(Number);
    return { disk, shown, length } as IdRange;
  });
}

function translate(
  id: number,
  ranges: readonly IdRange[] | undefined,
  from: 'disk' | 'shown',
  to: 'disk' | 'shown',
): number {
  if (ranges === undefined) return id;
  const range = ranges.find((candidate) => id >= candidate[from] && id - candidate[from] < candidate.length);
  return range === undefined ? OVERFLOW_ID : range[to] + (id - range[from]);
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** The owner that is shown for an owner on disk. */
export function shownOwner(ownership: Ownership, { uid, gid }: Owner): Owner {
  return {
    uid: ownership.squashUid ?? translate(uid, ownership.uids, 'disk', 'shown'),
    gid: ownership.squashGid ?? translate(gid, ownership.gids, 'disk', 'shown'),
  };
}

/** The owner on disk for an owner in the mount. */
export function diskOwner(ownership: Ownership | undefined, { uid, gid }: Owner): Owner {
  return {
    uid: translate(uid, ownership?.uids, 'shown', 'disk'),
    gid: translate(gid, ownership?.gids, 'shown', 'disk'),
  };
}

/** Whether a refused chown(2) does not matter, because owners are not shown anyway. */
export const squashes = (ownership: Ownership | undefined): boolean =>
  ownership?.squashUid !== undefined || ownership?.squashGid !== undefined;

// --- the attribute

/** What the attribute says instead of the inode. */
export interface Override extends Owner, Pick<Stat, 'rdevMajor' | 'rdevMinor'> {
  /** Type and permissions, as st_mode. */
  readonly mode: number;
}

const TYPES: ReadonlyMap<string, number> = new Map([
  ['dir', S.IFDIR],
  ['file', S.IFREG],
  ['symlink', S.IFLNK],
  ['pipe', S.IFIFO],
  ['socket', S.IFSOCK],
  ['block', S.IFBLK],
  ['char', S.IFCHR],
]);
const NAMES = new Map([...TYPES].map(([name, type]) => [type, name]));
const OVERRIDE = /^(-?\d{1,10}):(-?\d{1,10}):([0-7]{1,7})(?::([a-z]+)(?:-(\d{1,4})-(\d{1,7}))?)?$/;
const PERMISSIONS = 0o7777;
const MAX_MAJOR = 0xfff;
const MAX_MINOR = 0xfffff;

export const isDevice = (type: number): boolean => type === S.IFCHR || type === S.IFBLK;

/** The attribute's value, as containers/storage writes it. */
export function formatOverride({ uid, gid, mode, rdevMajor, rdevMinor }: Override): Buffer {
  const type = mode & S.IFMT;
  const device = isDevice(type) ? `-${rdevMajor}-${rdevMinor}` : '';
  const octal = (mode & PERMISSIONS).toString(8).padStart(4, '0');
  return Buffer.from(`${uid}:${gid}:${octal}:${NAMES.get(type)}${device}`);
}

/**
 * What an attribute says.
 * @param inode st_mode of the directory or regular file that has it
 * @throws Errno EIO if that cannot be meant
 */
export function parseOverride(value: Uint8Array, inode: number): Override {
  const text = Buffer.from(value).toString('latin1');
  const [, uid, gid, octal = '', word, major, minor] = OVERRIDE.exec(text) ?? [];
  const type = word === undefined ? inode & S.IFMT : TYPES.get(word);
  const owner = { uid: parseId(uid), gid: parseId(gid) };
  const device = { rdevMajor: Number(major ?? 0), rdevMinor: Number(minor ?? 0) };
  const valid =
    type !== undefined &&
    owner.uid !== NO_ID &&
    owner.gid !== NO_ID &&
    suits(type, inode & S.IFMT) &&
    isDevice(type) === (major !== undefined) &&
    isNumbered(type, device);
  if (!valid) throw new Errno(E.EIO, 'override_stat');
  return { ...owner, mode: type | (Number.parseInt(octal, 8) & PERMISSIONS), ...device };
}

/** fuse-overlayfs writes ids beyond 2^31 as negative numbers. */
function parseId(text: string | undefined): number {
  const id = Number(text);
  return id >= -(2 ** 31) && id < NO_ID ? id >>> 0 : NO_ID;
}

/** A directory stays one; whatever else is kept as a regular file. */
const suits = (type: number, inode: number): boolean => (type === S.IFDIR) === (inode === S.IFDIR);

/** The character device 0/0 would be a whiteout. */
function isNumbered(type: number, { rdevMajor, rdevMinor }: Pick<Stat, 'rdevMajor' | 'rdevMinor'>): boolean {
  if (rdevMajor > MAX_MAJOR || rdevMinor > MAX_MINOR) return false;
  return type !== S.IFCHR || rdevMajor !== 0 || rdevMinor !== 0;
}

const OTHERS_DO_NOT_WRITE = 0o755;
const OWNER_READS_AND_WRITES = 0o600;
const OWNER_PASSES = 0o700;

/** The permissions that an inode has on disk while the attribute keeps `mode`: its owner, the server, may do all. */
export function diskMode(mode: number): number {
  const type = mode & S.IFMT;
  if (type === S.IFDIR) return (mode & OTHERS_DO_NOT_WRITE) | OWNER_PASSES;
  return type === S.IFREG ? (mode & OTHERS_DO_NOT_WRITE) | OWNER_READS_AND_WRITES : OWNER_READS_AND_WRITES;
}

/** st_mode after chown(2), which takes set-id bits from what is no directory (chown_common). */
export function modeAfterChown(mode: number): number {
  if ((mode & S.IFMT) === S.IFDIR) return mode;
  const dropped = S.ISUID | ((mode & S.IXGRP) === 0 ? 0 : S.ISGID);
  return mode & ~dropped;
}
