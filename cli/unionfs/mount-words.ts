/**
 * The words that `unionfs mount -o` knows.
 *
 * Rule: nothing is imported that loads the filesystem: what starts a server in the background needs only these.
 */
import { MOUNT_FLAGS } from '../../fs/transport/mount-flags.js';

export const OWNERSHIP_VALUED = [
  'uidmapping',
  'gidmapping',
  'squash_to_uid',
  'squash_to_gid',
  'xattr_permissions',
] as const;
const SHOWING_VALUED = ['redirect_dir', 'xino', 'context'];
/** Each leaves something out (`LeftOut`). */
export const SHOWING_SWITCHES = ['noxattrs', 'noacl', 'static_nlink', 'ino32_t'] as const;
export const OWNERSHIP_SWITCHES = ['squash_to_root'] as const;

export const VALUED: readonly string[] = [
  'lowerdir',
  'upperdir',
  'workdir',
  'fsname',
  ...OWNERSHIP_VALUED,
  ...SHOWING_VALUED,
];
const SWITCHES: readonly string[] = [
  'allow_other',
  'volatile',
  'writeback',
  ...OWNERSHIP_SWITCHES,
  ...SHOWING_SWITCHES,
];
/** Options that mean what the program does anyway, and those that undo a flag. */
const ACCEPTED = ['rw', 'suid', 'dev', 'exec', 'default_permissions'];

/** All of them. */
export const MOUNT_WORDS: readonly string[] = [
  ...VALUED,
  ...SWITCHES,
  ...Object.keys(MOUNT_FLAGS),
  ...ACCEPTED,
];
