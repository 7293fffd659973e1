/**
 * The filesystem that images and containers lie on.
 *
 * Rules: the nearest directory that exists is tried, since a store is made when something is first added. Only what
 * cannot be written at all keeps commands from working; everything else costs time or exactness.
 */
import { dirname } from 'node:path';
import type { DirectoryTrial, Host } from '../host/host.js';
import { mountOf, mountTable } from '../host/mounts.js';
import { asRoot, asUser, type Finding, type Fix, missing, ok, warning } from './finding.js';
import type { Identity } from './identity.js';

export interface StoreFacts {
  /** Where the store is or will be; undefined for a user without a home directory. */
  readonly path: string | undefined;
  /** The nearest directory above it that exists; itself if it does. */
  readonly nearest: string;
  readonly type: string;
  readonly mountpoint: string;
  readonly noexec: boolean;
  readonly readOnly: boolean;
  /** Undefined where nothing can be written. */
  readonly trial: DirectoryTrial | undefined;
  /** A directory for another store that was tried and has what this one lacks; undefined if there is none. */
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

/** Whether deletions can be marked; what cannot be written is refused for that. */
export const keepsMarks = ({ trial }: StoreFacts): boolean =>
  trial === undefined || trial.userXattrs || trial.trustedXattrs;

const NETWORK_TYPES =
  /^(nfs4?|cifs|smb3|smbfs|9p|virtiofs|ceph|afs|lustre|gpfs|beegfs|glusterfs|orangefs|pvfs2|fuse\..*)$/;
/** A small image and its container. */
const LITTLE_SPACE = 2 ** 30;
const GIB = 2 ** 30;

/** The machine's own disk first, which survives a reboot (file-hierarchy(7)). */
const PLACES = ['/var/tmp', '/tmp', '/dev/shm'];

/** A directory on another mount that has what the store's lacks. It is tried, so that the advice helps. */
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

/** How to use a store elsewhere; undefined if no place is better. */
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
          `${facts.mountpoint} is noexec: programs do not start with the copy driver`,
          asRoot(`mount -o remount,exec ${facts.mountpoint}`),
        )
      : ok('store.exec', 'programs may be executed from it'),
    judgeSpace(trial),
  ];
}

function judgeUnwritable(
  { path, nearest, mountpoint, readOnly, elsewhere: place }: StoreFacts,
  { uid }: Identity,
): Finding {
  const id = 'store.writable';
  if (path === undefined) {
    return missing(id, `uid ${uid} has no home directory for its store`, storeElsewhere(uid, place));
  }
  if (readOnly) {
    return missing(id, `${path} is on a read-only mount`, asRoot(`mount -o remount,rw ${mountpoint}`));
  }
  return missing(id, `uid ${uid} cannot write below ${nearest}`, storeElsewhere(uid, place));
}

function judgeNetwork({ type, elsewhere: place }: StoreFacts, { uid }: Identity): Finding {
  const id = 'store.local';
  if (!NETWORK_TYPES.test(type)) return ok(id, 'on this machine');
  return warning(
    id,
    `${type} is a network filesystem: slow, and owners may not be kept`,
    storeElsewhere(uid, place),
  );
}

/** Root writes trusted xattrs; others user ones, and virtual owners with them. */
function judgeXattrs(
  { type, elsewhere: place }: StoreFacts,
  { userXattrs, trustedXattrs }: DirectoryTrial,
  { uid, initialUserNamespace }: Identity,
): Finding {
  const id = 'store.xattrs';
  const fix = storeElsewhere(uid, place);
  const trusted = uid === 0 && initialUserNamespace;
  if (!userXattrs && !trustedXattrs) {
    const lost = trusted ? '' : 'owners are not kept, and ';
    return warning(id, `${type} has no xattrs: ${lost}roots are full copies of the image`, fix);
  }
  if (trusted && !trustedXattrs) {
    return warning(id, `${type} has no trusted xattrs: deletions are marked by user ones`, fix);
  }
  return ok(id, `${trusted ? 'trusted' : 'user'} xattrs are kept`);
}

function judgeCopies({ tmpfile, reflink }: DirectoryTrial): Finding {
  const copies = reflink ? 'copies share their data' : 'copies take space (no reflinks)';
  return ok('store.copies', `${copies}; ${tmpfile ? '' : 'no '}O_TMPFILE`);
}

function judgeSymlinks(
  { type, elsewhere: place }: StoreFacts,
  { symlinks }: DirectoryTrial,
  { uid }: Identity,
): Finding {
  const id = 'store.symlinks';
  if (symlinks) return ok(id, 'symbolic links are kept');
  return missing(id, `${type} has no symbolic links: images cannot be unpacked`, storeElsewhere(uid, place));
}

function judgeSpace({ free }: DirectoryTrial): Finding {
  const id = 'store.space';
  const amount = `${(free / GIB).toFixed(1)} GiB free`;
  return free >= LITTLE_SPACE ? ok(id, amount) : warning(id, amount, asUser('tscr system prune'));
}
