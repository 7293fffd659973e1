/**
 * The option names of `unionfs mount -o`.
 *
 * Rule: this module does not import the filesystem, because starting a server in the background needs only these names.
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
/** Each disables a feature (`LeftOut`). */
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
/** Options for the default behaviour, and those that cancel a flag. */
const ACCEPTED = ['rw', 'suid', 'dev', 'exec', 'default_permissions'];

/** All of them. */
export const MOUNT_WORDS: readonly string[] = [
  ...VALUED,
  ...SWITCHES,
  ...Object.keys(MOUNT_FLAGS),
  ...ACCEPTED,
];
