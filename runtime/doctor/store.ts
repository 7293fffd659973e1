/**
 * The filesystem of images and containers.
 *
 * Rules: the nearest existing directory is tested, because the store is created when an image is first added. Only a
 * store that is not writable prevents commands from working; other shortcomings cost time or exactness.
 */
import { dirname } from 'node:path';
import type { DirectoryTrial, Host } from '../host/host.js';
import { mountOf, mountTable } from '../host/mounts.js';
import { asRoot, asUser, type Finding, type Fix, missing, ok, warning } from './finding.js';
import type { Identity } from './identity.js';

export interface StoreFacts {
  /** The store's path; undefined for a user without a home directory. */
  readonly path: string | undefined;
  /** The store, or its nearest parent that exists. */
  readonly nearest: string;
  readonly type: string;
  readonly mountpoint: string;
  readonly noexec: boolean;
  readonly readOnly: boolean;
  /** Undefined if the directory is not writable. */
  readonly trial: DirectoryTrial | undefined;
  /** A tested directory for another store that has what this one lacks; undefined if there is none. */
  readonly elsewhere: string | undefined;
}

export function probeStore(host: Host, path: string | undefined): StoreFacts {
  let nearest = path ?? '/';
  while (host.stat(nearest) === undefined && nearest !== '/') nearest = dirname(nearest);
  const mount = mountOf(mountTable(host), nearest);
  const trial = path === undefined ? undefined : host.tryDirectory(nearest);
  return {
    path,
    nearest,
    type: mount?.type ?? 'unknown',
    mountpoint: mount?.mountpoint ?? '/',
    noexec: mount?.options.includes('noexec') ?? false,
    readOnly: mount?.options.includes('ro') ?? false,
    trial,
    elsewhere: elsewhere(host, trial, mount?.mountpoint),
  };
}

/** Whether whiteouts and opaque marks can be stored; a store that is not writable has its own finding. */
export const keepsMarks = ({ trial }: StoreFacts): boolean =>
  trial === undefined || trial.userXattrs || trial.trustedXattrs;

const NETWORK_TYPES =
  /^(nfs4?|cifs|smb3|smbfs|9p|virtiofs|ceph|afs|lustre|gpfs|beegfs|glusterfs|orangefs|pvfs2|fuse\..*)$/;
/** Bytes; enough for a small image and its container. */
const LITTLE_SPACE = 2 ** 30;
const GIB = 2 ** 30;

/** The first survives a reboot (file-hierarchy(7)). */
const PLACES = ['/var/tmp', '/tmp', '/dev/shm'];

/** A directory on another mount that has what the store's lacks; it is tested, so that the advice works. */
function elsewhere(
  host: Host,
  lacking: DirectoryTrial | undefined,
  mountpoint: string | undefined,
): string | undefined {
  const table = mountTable(host);
  return PLACES.find((place) => {
    const mount = mountOf(table, place);
    if (lacking !== undefined && mount?.mountpoint === mountpoint) return false;
    if (mount !== undefined && NETWORK_TYPES.test(mount.type)) return false;
    const trial = host.tryDirectory(place);
    return trial !== undefined && (trial.userXattrs || trial.trustedXattrs) && trial.symlinks;
  });
}

/** The fix to use a store in another directory; undefined if none is better. */
export const storeElsewhere = (uid: number, place: string | undefined): Fix | undefined =>
  place === undefined
    ? undefined
    : asUser(`mkdir -p -m 700 ${place}/tscr-${uid} && export TSCR_ROOT=${place}/tscr-${uid}`);

export function judgeStore(facts: StoreFacts, identity: Identity): Finding[] {
  const { trial } = facts;
  if (trial === undefined) return [judgeUnwritable(facts, identity)];
  return [
    ok('store.writable', `${facts.path} on ${facts.type}`),
    judgeNetwork(facts, identity),
    judgeXattrs(facts, trial, identity),
    judgeCopies(trial),
    judgeSymlinks(facts, trial, identity),
    facts.noexec
      ? warning(
          'store.exec',
          `${facts.mountpoint} is mounted noexec; programs cannot be executed with the copy driver`,
          asRoot(`mount -o remount,exec ${facts.mountpoint}`),
        )
      : ok('store.exec', 'programs can be executed on its filesystem'),
    judgeSpace(trial),
  ];
}

function judgeUnwritable(
  { path, nearest, mountpoint, readOnly, elsewhere: place }: StoreFacts,
  { uid }: Identity,
): Finding {
  const id = 'store.writable';
  if (path === undefined) {
    return missing(id, `uid ${uid} has no home directory for a store`, storeElsewhere(uid, place));
  }
  if (readOnly) {
    return missing(id, `${path} is on a read-only mount`, asRoot(`mount -o remount,rw ${mountpoint}`));
  }
  return missing(id, `uid ${uid} cannot write below ${nearest}`, storeElsewhere(uid, place));
}

function judgeNetwork({ type, elsewhere: place }: StoreFacts, { uid }: Identity): Finding {
  const id = 'store.local';
  if (!NETWORK_TYPES.test(type)) return ok(id, 'on a local filesystem');
  return warning(
    id,
    `${type} is a network filesystem; it is slow, and owners may not be stored`,
    storeElsewhere(uid, place),
  );
}

/** Root writes trusted xattrs; other users write user xattrs, also for virtual owners. */
function judgeXattrs(
  { type, elsewhere: place }: StoreFacts,
  { userXattrs, trustedXattrs }: DirectoryTrial,
  { uid, initialUserNamespace }: Identity,
): Finding {
  const id = 'store.xattrs';
  const fix = storeElsewhere(uid, place);
  const trusted = uid === 0 && initialUserNamespace;
  if (!userXattrs && !trustedXattrs) {
    const lost = trusted ? '' : 'owners are not stored, and ';
    return warning(
      id,
      `${type} does not support xattrs; ${lost}root filesystems are full copies of the image`,
      fix,
    );
  }
  if (trusted && !trustedXattrs) {
    return warning(id, `${type} does not support trusted xattrs; user xattrs mark deletions`, fix);
  }
  return ok(id, `${trusted ? 'trusted' : 'user'} xattrs are supported`);
}

function judgeCopies({ tmpfile, reflink }: DirectoryTrial): Finding {
  const copies = reflink
    ? 'reflinks are supported; copies share their data'
    : 'reflinks are not supported; copies take space';
  return ok('store.copies', `${copies}; ${tmpfile ? '' : 'no '}O_TMPFILE`);
}

function judgeSymlinks(
  { type, elsewhere: place }: StoreFacts,
  { symlinks }: DirectoryTrial,
  { uid }: Identity,
): Finding {
  const id = 'store.symlinks';
  if (symlinks) return ok(id, 'symbolic links are supported');
  return missing(
    id,
    `${type} does not support symbolic links; images cannot be unpacked`,
    storeElsewhere(uid, place),
  );
}

function judgeSpace({ free }: DirectoryTrial): Finding {
  const id = 'store.space';
  const amount = `${(free / GIB).toFixed(1)} GiB free`;
  return free >= LITTLE_SPACE ? ok(id, amount) : warning(id, amount, asUser('tscr system prune'));
}
