/**
 * Where an entry of upper was copied up from: a file handle in overlayfs' own format (struct ovl_fb).
 *
 * Rules: `overlay.origin` on the copy names the lower inode, so that the inode number stays the same over copy-up and
 * remount, and so that kernel overlayfs recognises what we wrote. It is a hint: a handle that cannot be made or no
 * longer leads anywhere is no error. Parents of such copies are marked `overlay.impure`. Compare
 * ovl_encode_real_fh and ovl_decode_real_fh in fs/overlayfs.
 */
import { E, unless } from '../../sys/errno.js';
import type { Stat } from '../../sys/stat.js';
import {
  close,
  fstat,
  getxattrat,
  listxattrat,
  nameToHandle,
  openByHandle,
  setxattrat,
} from '../../sys/syscalls.js';
import type { Layer, LayerDirectory } from './layer.js';
import { withOwnersRights } from './lend.js';
import { MARK_REFUSED, type OverlayPrefix } from './marks.js';

/** struct ovl_fb: version, magic, len, flags, type, uuid[16], then the handle. */
const VERSION = 0;
const MAGIC = 0xfb;
const FLAG_PATH_UPPER = 1 << 2;
const UUID = 5;
const UUID_LENGTH = 16;
const HANDLE = UUID + UUID_LENGTH;
const NO_UUID = Buffer.alloc(UUID_LENGTH);

/** Encodes the handle of `name` in a layer's directory; undefined where the filesystem has none that last. */
export function encodeOrigin(layer: Layer, dirfd: number, name: string): Buffer | undefined {
  const handle = layer.handlesLast ? nameToHandle(dirfd, name) : undefined;
  if (handle === undefined || handle.type > 0xff) return undefined;
  const flags = layer.isUpper ? FLAG_PATH_UPPER : 0;
  const header = Buffer.from([VERSION, MAGIC, HANDLE + handle.bytes.length, flags, handle.type]);
  return Buffer.concat([header, layer.uuid ?? NO_UUID, handle.bytes]);
}

/** The lower inode that an origin names; undefined if it is gone, or on none of the filesystems of `layers`, whose origins are unique. */
export function decodeOrigin(layers: readonly Layer[], origin: Uint8Array): Stat | undefined {
  if (origin.length <= HANDLE || origin[0] !== VERSION || origin[1] !== MAGIC) return undefined;
  const uuid = Buffer.from(origin.subarray(UUID, HANDLE));
  const handle = { type: origin[4] as number, bytes: Buffer.from(origin.subarray(HANDLE)) };
  const seen = new Set<number>();
  for (const layer of layers) {
    if (layer.isUpper || !layer.handlesLast || seen.has(layer.dev)) continue;
    seen.add(layer.dev);
    if (!uuid.equals(layer.uuid ?? NO_UUID)) continue;
    const fd = openByHandle(layer.rootFd, handle);
    if (fd === undefined) continue;
    const stat = fstat(fd);
    close(fd);
    return stat;
  }
  return undefined;
}

/**
 * Whether a handle tells which filesystem it belongs to: with several lower filesystems, each needs a UUID of its own
 * (ovl_lower_uuid_ok).
 */
export function originsAreUnique(layers: readonly Layer[]): boolean {
  const uuids = new Map<number, string | undefined>();
  for (const { isUpper, dev, uuid } of layers) {
    if (!isUpper) uuids.set(dev, uuid?.toString('hex'));
  }
  const known = [...uuids.values()].filter((uuid) => uuid !== undefined);
  return uuids.size === 1 || (known.length === uuids.size && new Set(known).size === uuids.size);
}

/** Reads the origin of an entry in upper, if its mode lets the server. The result aliases a scratch buffer. */
export function readOrigin(prefix: OverlayPrefix, dirfd: number, name: string): Buffer | undefined {
  const origin = unless([E.EACCES], () => getxattrat(dirfd, name, `${prefix}origin`));
  return origin === undefined || origin.length === 0 ? undefined : origin;
}

/** Where the filesystem or the privilege for it is missing, the copy goes without. */
export function writeOrigin(prefix: OverlayPrefix, dirfd: number, name: string, origin: Buffer): void {
  unless(MARK_REFUSED, () => setxattrat(dirfd, name, `${prefix}origin`, origin));
}

const yes = Buffer.from('y');

/** Marks a directory of upper that holds copies, once. */
export function markImpure(prefix: OverlayPrefix, directory: LayerDirectory, dirfd: number): void {
  if (isImpure(prefix, directory, dirfd)) return;
  unless(MARK_REFUSED, () =>
    withOwnersRights([{ dirfd, name: '' }], () => setxattrat(dirfd, '', `${prefix}impure`, yes)),
  );
  directory.impure = true;
}

/** Whether a directory of upper may hold copies. */
export function isImpure(prefix: OverlayPrefix, directory: LayerDirectory, dirfd: number): boolean {
  directory.impure ??= listxattrat(dirfd, '').includes(`${prefix}impure`);
  return directory.impure;
}
