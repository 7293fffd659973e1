/**
 * Owners and modes where they are stored: in the inode, or in an attribute of it (`id-mapping.ts`).
 *
 * Rules:
 * - A layer whose root has the attribute keeps it on its directories and files (fuse-overlayfs' direct_load_data_source).
 *   One that any writer of a file can set counts only for a server that could not give anybody root's rights by it, or
 *   where the mount asks for it.
 * - Where upper keeps it, inodes are the server's own (`create-overridden.ts`).
 */
import { readFileSync } from 'node:fs';
import { O, PATH_MAX, S } from '../../sys/constants.js';
import { E, Errno, unless } from '../../sys/errno.js';
import { isDirectory, isRegular, type Stat } from '../../sys/stat.js';
import {
  close,
  fchmodat,
  fstat,
  getxattrat,
  openat,
  pread,
  readlinkat,
  setxattrat,
  statat,
} from '../../sys/syscalls.js';
import type { Layer } from '../layers/layer.js';
import {
  CONTAINERS_OVERRIDE,
  COPY_OVERRIDE,
  OLDER_OVERRIDE,
  type OverrideXattr,
  PRIVILEGED_OVERRIDE,
} from '../layers/owner-xattrs.js';
import type { Place } from '../layers/place.js';
import { finish } from '../rules/finish.js';
import {
  diskMode,
  formatOverride,
  isDevice,
  keepingXattr,
  type Override,
  type Owner,
  type Ownership,
  parseOverride,
} from './id-mapping.js';

// --- which layers

/** Whether this process could give rights away that an ordinary user has not: root's outside of user namespaces. */
export const isTrulyRoot = (): boolean => process.geteuid?.() === 0 && isInitialUserNamespace();

/** Every id is there, as itself. */
export const isInitialUserNamespace = (): boolean =>
  /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'latin1'));

/** As many ids as a system uses. */
const USUAL_IDS = 65536;

/** Whether this process can give its files to whomever it likes: root's where the usual ids exist. */
export function canGiveAway(): boolean {
  if (process.geteuid?.() !== 0) return false;
  return ['uid_map', 'gid_map'].every((map) => idsIn(`/proc/self/${map}`) >= USUAL_IDS);
}

/** Whether this process's user namespace has only one id. */
export const isAlone = (): boolean => ['uid_map', 'gid_map'].every((map) => idsIn(`/proc/self/${map}`) === 1);

function idsIn(map: string): number {
  const lines = readFileSync(map, 'latin1').trim().split('\n');
  return lines.reduce((sum, line) => sum + Number(line.trim().split(/\s+/)[2]), 0);
}

/**
 * Finds out which layers keep owners in an attribute.
 * @param usersToo whether attributes count that any writer of a file can set
 */
export function findOverrides(layers: readonly Layer[], usersToo: boolean): void {
  for (const layer of layers) layer.override = overrideAt(layer.rootFd, usersToo);
}

/** The xattr that stores owners in a layer, by its open root; undefined if inodes store them. */
export function overrideAt(rootFd: number, usersToo: boolean): OverrideXattr | undefined {
  const attributes = [PRIVILEGED_OVERRIDE, ...(usersToo ? [CONTAINERS_OVERRIDE, OLDER_OVERRIDE] : [])];
  return attributes.find((attribute) => getxattrat(rootFd, '', attribute) !== undefined);
}

/** The same for a plain tree, which may be a copy that keeps owners. */
export const treeOverrideAt = (rootFd: number): OverrideXattr | undefined =>
  overrideAt(rootFd, true) ??
  (getxattrat(rootFd, '', COPY_OVERRIDE) === undefined ? undefined : COPY_OVERRIDE);

/**
 * Makes an empty directory a copy that keeps owners, as far as anybody can tell.
 * @returns the attribute that keeps them; undefined if the filesystem has none
 */
export function keepInCopy(rootFd: number): OverrideXattr | undefined {
  return unless([E.EPERM, E.EOPNOTSUPP], () => {
    setxattrat(rootFd, '', COPY_OVERRIDE, formatOverride(NEW_ROOT));
    return COPY_OVERRIDE;
  });
}

/** The root directory of an upper that is nobody's copy, as in fuse-overlayfs. */
const NEW_ROOT: Override = { uid: 0, gid: 0, mode: S.IFDIR | 0o555, rdevMajor: 0, rdevMinor: 0 };

/** Makes upper keep owners in an attribute from now on. Its root takes after the first layer that does so already. */
export function keepOverrides(upper: Layer, lowers: readonly Layer[], keep: Ownership['keep']): void {
  if (keep === undefined) return;
  const wanted = keepingXattr(keep);
  if (upper.override === wanted || (keep === 'user' && upper.override === OLDER_OVERRIDE)) return;
  const like = lowers.find(
    ({ override }) => override !== undefined && (keep === 'user' || override === wanted),
  );
  const value = like?.override && getxattrat(like.rootFd, '', like.override);
  setxattrat(upper.rootFd, '', wanted, value === undefined ? formatOverride(NEW_ROOT) : Buffer.from(value));
  upper.override = wanted;
}

// --- reading

const canCarry = (mode: number): boolean => isRegular(mode) || isDirectory(mode);

/** The attributes of an entry as its layer keeps them, given those of its inode. Throws Errno EIO if they are no sense. */
export function recorded(attribute: OverrideXattr | undefined, { dirfd, name }: Place, stat: Stat): Stat {
  if (attribute === undefined || !canCarry(stat.mode)) return stat;
  const value = getxattrat(dirfd, name, attribute);
  if (value === undefined) return stat;
  const override = parseOverride(value, stat.mode);
  return attribute === COPY_OVERRIDE ? recordedInCopy(override, stat) : { ...stat, ...override };
}

/** In a copy permissions, and all types but devices', are the inode's. */
function recordedInCopy({ uid, gid, mode, rdevMajor, rdevMinor }: Override, stat: Stat): Stat {
  if (!isDevice(mode & S.IFMT)) return { ...stat, uid, gid };
  return { ...stat, uid, gid, mode: (mode & S.IFMT) | (stat.mode & ~S.IFMT), rdevMajor, rdevMinor };
}

/**
 * The same for an archive: what does not carry the attribute, and belongs to whom the layer belongs to on disk, is root's.
 * @param root of the layer
 */
export function recordedForArchive(
  attribute: OverrideXattr | undefined,
  place: Place,
  stat: Stat,
  root: Owner,
): Stat {
  const known = recorded(attribute, place, stat);
  if (attribute === undefined || known !== stat) return known;
  return {
    ...stat,
    uid: stat.uid === root.uid ? 0 : stat.uid,
    gid: stat.gid === root.gid ? 0 : stat.gid,
  };
}

/** The target of a symlink, whichever form it has. */
export function linkTarget({ dirfd, name }: Place): string {
  const real = unless([E.EINVAL, E.ENOENT], () => readlinkat(dirfd, name));
  if (real !== undefined) return real;
  const fd = name === '' ? dirfd : openat(dirfd, name, O.RDONLY | O.NOFOLLOW | O.NONBLOCK);
  try {
    const target = Buffer.alloc(PATH_MAX);
    const length = pread(fd, target, PATH_MAX, 0);
    if (length === 0 || length === PATH_MAX) throw new Errno(E.EIO, 'readlink');
    return target.toString('latin1', 0, length);
  } finally {
    if (name !== '') close(fd);
  }
}

// --- writing

/** Records what is to be shown for an inode; its own mode follows. A symlink stays as it is. */
export function record(attribute: OverrideXattr, { dirfd, name }: Place, override: Override): void {
  setxattrat(dirfd, name, attribute, formatOverride(override));
  fchmodat(dirfd, name, diskMode(override.mode));
}

/** Changes what is recorded, and the inode's own mode: both or neither. */
export function rerecord(
  attribute: OverrideXattr,
  place: Place,
  change: (now: Stat) => Partial<Override>,
): void {
  const stat = place.name === '' ? fstat(place.dirfd) : statat(place.dirfd, place.name);
  if (stat === undefined) throw new Errno(E.ESTALE);
  if (!canCarry(stat.mode)) return;
  const now = recorded(attribute, place, stat);
  const next = { ...now, ...change(now) };
  try {
    record(attribute, place, next);
  } catch (error) {
    finish('undoing a change of owner or mode', () =>
      setxattrat(place.dirfd, place.name, attribute, formatOverride(now)),
    );
    throw error;
  }
}

/**
 * Records an owner in a plain copy, where one is not the server's, and what a device is. Only files and directories can
 * carry it; for others it is forgotten.
 */
export function recordInCopy({ dirfd, name }: Place, override: Override): void {
  const isOwn = override.uid === process.geteuid?.() && override.gid === process.getegid?.();
  const tellsNothing = isOwn && !isDevice(override.mode & S.IFMT);
  if (tellsNothing && getxattrat(dirfd, name, COPY_OVERRIDE) === undefined) return;
  unless([E.EPERM, E.EOPNOTSUPP], () => setxattrat(dirfd, name, COPY_OVERRIDE, formatOverride(override)));
}
