/** Mount options that map owners, as in fuse-overlayfs(1). */
import { type Ownership, UsageError } from '../../fs/index.js';
import { parseIdRanges } from '../../fs/layers.js';
import { OWNERSHIP_SWITCHES, OWNERSHIP_VALUED } from './mount-words.js';

/** Values of `xattr_permissions=`. */
const KEEP = new Map<string, Ownership['keep']>([
  ['0', undefined],
  ['1', 'privileged'],
  ['2', 'user'],
]);
const ROOT = 0;
const MAX_ID = 2 ** 32 - 2;

/**
 * The ownership settings of mount options; undefined without such options.
 * @param given the values of options by name
 * @throws UsageError
 */
export function ownershipOf(given: ReadonlyMap<string, string | undefined>): Ownership | undefined {
  const names = [...OWNERSHIP_VALUED, ...OWNERSHIP_SWITCHES];
  if (!names.some((name) => given.has(name))) return undefined;
  const [uids, gids] = [given.get('uidmapping'), given.get('gidmapping')];
  const everybody = given.has('squash_to_root') ? ROOT : undefined;
  const squashUid = idOf(given, 'squash_to_uid') ?? everybody;
  const squashGid = idOf(given, 'squash_to_gid') ?? everybody;
  const keep = keepOf(given.get('xattr_permissions'));
  return {
    ...(uids !== undefined && { uids: parseIdRanges(uids) }),
    ...(gids !== undefined && { gids: parseIdRanges(gids) }),
    ...(squashUid !== undefined && { squashUid }),
    ...(squashGid !== undefined && { squashGid }),
    ...(keep !== undefined && { keep }),
  };
}

function idOf(given: ReadonlyMap<string, string | undefined>, name: string): number | undefined {
  const text = given.get(name);
  if (text === undefined) return undefined;
  if (/^\d{1,10}$/.test(text) && Number(text) <= MAX_ID) return Number(text);
  throw new UsageError(`invalid value "${text}" for option "-o ${name}": use an id from 0 to ${MAX_ID}`);
}

function keepOf(text: string | undefined): Ownership['keep'] {
  if (text === undefined || KEEP.has(text)) return KEEP.get(text ?? '0');
  throw new UsageError(`invalid value "${text}" for option "-o xattr_permissions": use "0", "1" or "2"`);
}
