/**
 * The work directory: where everything that takes more than one syscall is built before one rename shows it.
 *
 * Rules: the layout is the kernel's (`work/work` for temporaries), so that overlayfs mounts the same directories.
 * Whatever lies in `work/work` at mount time is a leftover of an interrupted operation and is removed. Names in it
 * are never reused within a mount. What cannot be removed at once is tried again later and holds up nothing. Compare
 * ovl_workdir_create, ovl_lookup_temp and ovl_cleanup in fs/overlayfs.
 */
import { ACL, AT, O, RENAME } from '../../sys/constants.js';
import { Descent } from '../../sys/descent.js';
import { E, Errno, unless } from '../../sys/errno.js';
import { UsageError } from '../../sys/refusal.js';
import { isDirectory } from '../../sys/stat.js';
import {
  close,
  fchmodat,
  fstat,
  mkdirat,
  openat,
  removexattrat,
  renameat2,
  statat,
  unlinkat,
} from '../../sys/syscalls.js';
import { finish } from '../rules/finish.js';
import { withOwnersRights } from './lend.js';
import { type OverlayPrefix, PRIVILEGED_PREFIX, writablePrefix } from './marks.js';
import { makeWhiteoutDevice, makeWhiteoutFile, type WrittenWhiteout, writableWhiteout } from './whiteout.js';

/** The kernel's name for the staging directory inside workdir. */
export const STAGING = 'work';
const OWNER_ALL = 0o700;
/** How many names are remembered to be removed later; further ones are the next mount's. */
const MOST_LEFTOVERS = 1024;

export class Work {
  /** The staging directory. */
  readonly fd: number;
  readonly xattrPrefix: OverlayPrefix;
  readonly whiteoutForm: WrittenWhiteout;
  #next = 0;
  /** Names that could not be removed yet. */
  readonly #leftovers = new Set<string>();

  /** @param workFd the directory given as workdir; it stays the caller's */
  constructor(workFd: number) {
    discardOthers(workFd, STAGING);
    this.fd = openPrivate(workFd, STAGING);
    emptyDirectory(this.fd);
    [this.xattrPrefix, this.whiteoutForm] = this.#probe();
  }

  /** Marks are trusted. attributes; only then are redirects and an index kept, as the kernel does (userxattr). */
  get isPrivileged(): boolean {
    return this.xattrPrefix === PRIVILEGED_PREFIX;
  }

  #probe(): [OverlayPrefix, WrittenWhiteout] {
    const name = this.temporary();
    mkdirat(this.fd, name, 0o700);
    const fd = openat(this.fd, name, O.RDONLY | O.DIRECTORY);
    try {
      return [writablePrefix(fd), writableWhiteout(fd)];
    } finally {
      close(fd);
      this.discard(name);
    }
  }

  close(): void {
    close(this.fd);
  }

  /** A name in the staging directory that nothing has. */
  temporary(): string {
    return `#${(this.#next++).toString(16)}`;
  }

  /** Creates a whiteout in the staging directory. */
  makeWhiteout(name: string): void {
    if (this.whiteoutForm === 'device') makeWhiteoutDevice(this.fd, name);
    else makeWhiteoutFile(this.xattrPrefix, this.fd, name);
  }

  /** Moves what was staged to its place; what is there already is replaced, or kept with `noreplace`. */
  install(name: string, dirfd: number, target: string, noreplace: boolean): void {
    const flags = noreplace ? RENAME.NOREPLACE : 0;
    const moved = { dirfd: this.fd, name };
    withOwnersRights([{ dirfd, name: '' }, moved], () => renameat2(this.fd, name, dirfd, target, flags));
  }

  /** Swaps what was staged with what is in place. */
  exchange(name: string, dirfd: number, target: string): void {
    const moved = [
      { dirfd: this.fd, name },
      { dirfd, name: target },
    ];
    withOwnersRights([{ dirfd, name: '' }, ...moved], () =>
      renameat2(this.fd, name, dirfd, target, RENAME.EXCHANGE),
    );
  }

  /** Moves what upper holds into the staging directory. */
  retire(dirfd: number, target: string, name: string): void {
    const moved = { dirfd, name: target };
    withOwnersRights([{ dirfd, name: '' }, moved], () => renameat2(dirfd, target, this.fd, name));
  }

  /** Removes a staged entry, whatever it is, and one that could not be removed before. */
  discard(name: string): void {
    const [earlier] = this.#leftovers;
    this.#remove(name);
    if (earlier !== undefined) this.#remove(earlier);
  }

  #remove(name: string): void {
    if (finish('cleaning up in work', () => removeTree(this.fd, name))) this.#leftovers.delete(name);
    else if (this.#leftovers.size < MOST_LEFTOVERS) this.#leftovers.add(name);
  }
}

/**
 * Opens a directory in the work directory, making it if need be; it is this process's user's. It passes nothing on to what is made in it: neither
 * ACLs nor a group that workdir has inherited from where it lies (ovl_workdir_create).
 */
export function openPrivate(workFd: number, name: string): number {
  unless([E.EEXIST], () => mkdirat(workFd, name, 0o700));
  const fd = openat(workFd, name, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
  const { uid } = fstat(fd);
  if (uid !== process.geteuid?.()) {
    close(fd);
    throw new UsageError(
      `"${name}" in the work directory belongs to uid ${uid}; choose another work directory with --workdir`,
    );
  }
  for (const acl of Object.values(ACL)) unless([E.ENODATA, E.EOPNOTSUPP], () => removexattrat(fd, '', acl));
  fchmodat(fd, '', 0o700);
  return fd;
}

/** Refuses a directory of another user under one of our names, who could change its content; other entries are removed. */
function discardOthers(workFd: number, name: string): void {
  const stat = statat(workFd, name);
  if (stat !== undefined && (!isDirectory(stat.mode) || stat.uid !== process.geteuid?.())) {
    removeTree(workFd, name);
  }
}

/** Removes everything below an open directory. */
function emptyDirectory(fd: number): void {
  const descent = new Descent(fd);
  try {
    removeBelow(descent);
  } finally {
    descent.close();
  }
}

/** Removes `name` and all below it; what is gone already is no error. Symlinks are not followed. */
export function removeTree(dirfd: number, name: string): void {
  const descent = new Descent(dirfd);
  try {
    if (!removeEntry(descent, name)) removeBelow(descent, [entered(descent, name)]);
  } finally {
    descent.close();
  }
}

/** A directory that is being emptied. */
interface Emptied {
  readonly name: string;
  /** How often all that it listed was removed. */
  rounds: number;
}

/** Filesystems may skip names in a listing while others are removed, and other processes may add names. */
const MOST_ROUNDS = 16;

/** @param path the directories below the descent's root that lead to where it is */
function removeBelow(descent: Descent, path: Emptied[] = []): void {
  const endsAt = path.length; // entries of a root that was given are removed, its own siblings are not
  for (;;) {
    const entry = descent.next();
    if (entry !== undefined) {
      if (!removeEntry(descent, entry.name)) path.push(entered(descent, entry.name));
      continue;
    }
    const emptied = path.pop();
    if (emptied === undefined) return;
    descent.leave();
    const isGone = removeEntry(descent, emptied.name);
    if (isGone && path.length < endsAt) return;
    if (isGone) continue;
    if (emptied.rounds === MOST_ROUNDS) throw new Errno(E.ENOTEMPTY, 'unlinkat');
    path.push({ ...entered(descent, emptied.name), rounds: emptied.rounds + 1 });
  }
}

/** An ordinary user needs permission for its own directories. */
function entered(descent: Descent, name: string): Emptied {
  const stat = statat(descent.fd, name);
  if (stat !== undefined && (stat.mode & OWNER_ALL) !== OWNER_ALL) fchmodat(descent.fd, name, OWNER_ALL);
  descent.enter(name);
  return { name, rounds: 0 };
}

/** Whether the entry is gone; a directory that holds something is not. */
function removeEntry({ fd, dev }: Descent, name: string): boolean {
  const stat = statat(fd, name);
  if (stat === undefined) return true;
  if (stat.dev !== dev) throw new Errno(E.EXDEV); // something is mounted there
  const removed = unless([E.ENOTEMPTY, E.EEXIST], () => {
    unlinkat(fd, name, isDirectory(stat.mode) ? AT.REMOVEDIR : 0);
    return true;
  });
  return removed === true;
}
