/**
 * Opens and creates paths inside a container's root.
 *
 * Rules: symbolic links of the image are resolved inside the root (openat2(2), RESOLVE_IN_ROOT); missing components are
 * created one at a time below a descriptor that was resolved this way. Paths are latin1, absolute and cleaned.
 * Compare with runc's use of filepath-securejoin, MkdirAllInRoot and OpenInRoot.
 */
import { posix } from 'node:path';
import { O, RESOLVE } from '../../../fs/sys/constants.js';
import { E, Errno, unless } from '../../../fs/sys/errno.js';
import { openat2 } from '../../../fs/sys/mount-api.js';
import { close, mkdirat, openat } from '../../../fs/sys/syscalls.js';
import { Failure } from './failure.js';

const DIRECTORY_MODE = 0o755;
const FILE_MODE = 0o644;

/** How symbolic links in the path are treated: resolved inside the root, or refused. */
export type Links = 'inside' | 'none';

const RESOLUTION = {
  inside: RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS,
  none: RESOLVE.IN_ROOT | RESOLVE.NO_SYMLINKS,
} as const;

/** An O_PATH descriptor of `path`; undefined if it does not exist. */
export function openInRoot(
  root: number,
  path: string,
  links: Links = 'inside',
  flags = 0,
): number | undefined {
  const relative = path.replace(/^\/+/, '') || '.';
  return unless([E.ENOENT], () => openat2(root, relative, O.PATH | flags, RESOLUTION[links]));
}

/** The directory at `path`, created with its parents if missing. The caller closes the descriptor. */
export function makeDirectory(root: number, path: string, links: Links = 'inside'): number {
  try {
    const existing = openInRoot(root, path, links, O.DIRECTORY);
    if (existing !== undefined) return existing;
  } catch (error) {
    throw explain(error, path);
  }
  return inParent(root, path, links, (parent, name) => {
    mkdirat(parent, name, DIRECTORY_MODE);
    return openat(parent, name, O.PATH | O.DIRECTORY | O.NOFOLLOW);
  });
}

/** The entry at `path`, or a new empty file. The caller closes the descriptor. */
export function makeFile(root: number, path: string): number {
  const existing = openInRoot(root, path);
  if (existing !== undefined) return existing;
  return inParent(root, path, 'inside', (parent, name) => {
    close(openat(parent, name, O.CREAT | O.EXCL | O.NOFOLLOW, FILE_MODE));
    return openat(parent, name, O.PATH | O.NOFOLLOW);
  });
}

function inParent(
  root: number,
  path: string,
  links: Links,
  make: (parent: number, name: string) => number,
): number {
  const parent = makeDirectory(root, posix.dirname(path), links);
  try {
    return make(parent, posix.basename(path));
  } catch (error) {
    throw explain(error, path);
  } finally {
    close(parent);
  }
}

/** A better error for symbolic links: a dangling one gives EEXIST in mkdir(2) and ENOENT in open(2). */
function explain(error: unknown, path: string): unknown {
  if (!(error instanceof Errno)) return error;
  const named = Buffer.from(path, 'latin1').toString();
  if (error.code === E.ELOOP) return new Failure(`"${named}" is a symbolic link in the image`);
  if (error.code === E.EEXIST) return new Failure(`"${named}" is a dangling symbolic link in the image`);
  if (error.code === E.ENOTDIR) return new Failure(`"${named}" is not a directory in the image`);
  return error;
}
