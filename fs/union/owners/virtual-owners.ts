/**
 * The protocol between the union and the thread that answers system calls (`runtime/container/owners/owner-worker.ts`).
 *
 * Rules: a secret is the name of the attribute by which owners are given and asked for, and what the name of a device
 * begins with that is to be made. Which inodes have another owner than is shown, both know (`inode-set.ts`).
 */
import { S } from '../../sys/constants.js';
import { InodeSet } from '../layers/inode-set.js';
import { isDevice } from './id-mapping.js';

const SECRET_BYTES = 16;
/** The id that chown(2) takes for "keep". */
const KEEP = 0xffffffff;

/** What both sides of a mount need to know; it can be sent to threads. */
export interface VirtualOwners {
  /** A random name that other processes cannot guess. */
  readonly secret: string;
  /** Of an `InodeSet`: the inodes that may have another owner than is shown. */
  readonly inodes: SharedArrayBuffer;
}

/** For one mount. The global loads what it takes when it is used; few mounts use it. */
export function newVirtualOwners(): VirtualOwners {
  const secret = Buffer.from(crypto.getRandomValues(new Uint8Array(SECRET_BYTES)));
  return { secret: `system.unionfs.owner.${secret.toString('hex')}`, inodes: new InodeSet().shared };
}

/** What chown(2) is given, or the owner that a file was given. */
export const ownerValue = (uid: number, gid: number): Buffer => Buffer.from(`${uid}:${gid}`);

/** The ids in a value, without those to leave unchanged; undefined for a malformed value. */
export function parseOwnerValue(value: Uint8Array): { uid?: number; gid?: number } | undefined {
  const ids = /^(\d{1,10}):(\d{1,10})$/.exec(Buffer.from(value).toString('latin1'));
  if (ids === null) return undefined;
  const [uid, gid] = [Number(ids[1]), Number(ids[2])];
  return { ...(uid !== KEEP && { uid }), ...(gid !== KEEP && { gid }) };
}

/** What mknod(2) is given. */
export interface Device {
  /** Type and permissions; the umask has been applied. */
  readonly mode: number;
  readonly major: number;
  readonly minor: number;
}

/** The name that makes a device when it is looked up. */
export const deviceName = (secret: string, { mode, major, minor }: Device): string =>
  `${secret}:${mode}:${major}:${minor}`;

/** The device that a name asks for; undefined for other names. */
export function parseDeviceName(secret: string, name: string): Device | undefined {
  if (!name.startsWith(secret)) return undefined;
  const [, mode, major, minor] = /^:(\d+):(\d+):(\d+)$/.exec(name.slice(secret.length)) ?? [];
  const device = { mode: Number(mode), major: Number(major), minor: Number(minor) };
  return isDevice(device.mode & S.IFMT) ? device : undefined;
}
