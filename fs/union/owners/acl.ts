/**
 * POSIX ACLs (acl(5)) where the union keeps modes itself: what a new inode inherits, and how ACL and mode stay in step.
 *
 * Rules: with a default ACL the umask does not count. Of mode and ACL each bit is stored in both: the owner's and others'
 * bits in their entries, the group's bits in the mask if there is one, else in the group's entry. An ACL that says no more
 * than the mode is not stored. Nothing here does I/O. Compare posix_acl_create_masq, posix_acl_equiv_mode and
 * __posix_acl_chmod_masq in the kernel's fs/posix_acl.c; values are struct posix_acl_xattr_header and its entries.
 */
import { E, Errno } from '../../sys/errno.js';

const VERSION = 2;
const SIZEOF_HEADER = 4;
const SIZEOF_ENTRY = 8;
const TAG = { USER_OBJ: 0x01, USER: 0x02, GROUP_OBJ: 0x04, GROUP: 0x08, MASK: 0x10, OTHER: 0x20 } as const;
const RIGHTS = 0o7;
const ALL_RIGHTS = 0o777;

interface AclEntry {
  readonly tag: number;
  readonly rights: number;
  readonly id: number;
}

/** Throws Errno EINVAL for what is no ACL. */
function parse(value: Uint8Array): AclEntry[] {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
  const rest = bytes.length - SIZEOF_HEADER;
  if (rest < 0 || rest % SIZEOF_ENTRY !== 0 || bytes.readUInt32LE(0) !== VERSION) throw new Errno(E.EINVAL);
  return Array.from({ length: rest / SIZEOF_ENTRY }, (_, index) => {
    const at = SIZEOF_HEADER + index * SIZEOF_ENTRY;
    return {
      tag: bytes.readUInt16LE(at),
      rights: bytes.readUInt16LE(at + 2),
      id: bytes.readUInt32LE(at + 4),
    };
  });
}

function format(entries: readonly AclEntry[]): Buffer {
  const bytes = Buffer.alloc(SIZEOF_HEADER + entries.length * SIZEOF_ENTRY);
  bytes.writeUInt32LE(VERSION, 0);
  entries.forEach(({ tag, rights, id }, index) => {
    const at = SIZEOF_HEADER + index * SIZEOF_ENTRY;
    bytes.writeUInt16LE(tag, at);
    bytes.writeUInt16LE(rights, at + 2);
    bytes.writeUInt32LE(id, at + 4);
  });
  return bytes;
}

/** By how many bits a tag's rights are shifted in a mode; undefined for entries that the mode does not show. */
function shiftOf(tag: number, entries: readonly AclEntry[]): number | undefined {
  if (tag === TAG.USER_OBJ) return 6;
  if (tag === TAG.OTHER) return 0;
  return tag === (entries.some((entry) => entry.tag === TAG.MASK) ? TAG.MASK : TAG.GROUP_OBJ) ? 3 : undefined;
}

/** Whether a mode says all of it. */
const isMinimal = (entries: readonly AclEntry[]): boolean =>
  entries.every(({ tag }) => tag === TAG.USER_OBJ || tag === TAG.GROUP_OBJ || tag === TAG.OTHER);

/** Entries whose rights are changed where the mode shows them. @param change is given the entry's rights and the mode's */
function withRights(
  entries: readonly AclEntry[],
  mode: number,
  change: (rights: number, wanted: number) => number,
): AclEntry[] {
  return entries.map((entry) => {
    const shift = shiftOf(entry.tag, entries);
    return shift === undefined
      ? entry
      : { ...entry, rights: change(entry.rights, (mode >> shift) & RIGHTS) & RIGHTS };
  });
}

/** The rights that a mode shows for an ACL. */
const rightsOf = (entries: readonly AclEntry[]): number =>
  entries.reduce((sum, { tag, rights }) => {
    const shift = shiftOf(tag, entries);
    return shift === undefined ? sum : sum | ((rights & RIGHTS) << shift);
  }, 0);

/** A mode, and the ACL to keep beside it, if there is more to say. */
export interface ModeAndAcl {
  /** Rights, set-id bits, sticky bit and type. */
  readonly mode: number;
  readonly acl: Buffer | undefined;
}

const result = (mode: number, entries: readonly AclEntry[]): ModeAndAcl => ({
  mode: (mode & ~ALL_RIGHTS) | rightsOf(entries),
  acl: isMinimal(entries) ? undefined : format(entries),
});

/**
 * What a new inode has that is asked for with `mode` in a directory with a default ACL (posix_acl_create).
 * @throws Errno EINVAL if the directory has none that is one
 */
export function inherited(defaultAcl: Uint8Array, mode: number): ModeAndAcl {
  const entries = parse(defaultAcl);
  return result(
    mode,
    withRights(entries, mode, (rights, wanted) => rights & wanted),
  );
}

/** What an inode has after it was given an ACL (posix_acl_update_mode). Throws Errno EINVAL. */
export const given = (acl: Uint8Array, mode: number): ModeAndAcl => result(mode, parse(acl));

/** An inode's ACL after chmod(2) (posix_acl_chmod). Throws Errno EINVAL. */
export const afterChmod = (acl: Uint8Array, mode: number): Buffer =>
  format(withRights(parse(acl), mode, (_, wanted) => wanted));

/** Whether it names users or groups by their ids. */
export const namesSomebody = (acl: Uint8Array): boolean =>
  parse(acl).some(({ tag }) => tag === TAG.USER || tag === TAG.GROUP);
