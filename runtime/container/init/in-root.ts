/**
 * Places below a container's root, as descriptors.
 *
 * Rules: symbolic links are the image's and lead at most to the root itself (openat2(2), RESOLVE_IN_ROOT); what is
 * missing is made one name at a time below a descriptor that was resolved so. Paths are latin1, absolute and cleaned.
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

/** How links on the way are treated; `none` refuses every one. */
export type Links = 'inside' | 'none';

const RESOLUTION = {
  inside: RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS,
  none: RESOLVE.IN_ROOT | RESOLVE.NO_SYMLINKS,
} as const;

/** O_PATH descriptor of what is at `path`; undefined if nothing is. */
export function openInRoot(
  root: number,
  path: string,
  links: Links = 'inside',
  flags = 0,
): number | undefined {
  const relative = path.replace(/^\/+/, '') || '.';
  return unless([E.ENOENT], () => openat2(root, relative, O.PATH | flags, RESOLUTION[links]));
}

/** The directory at `path`, made with those above it if need be. The caller closes the descriptor. */
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

/** What is at `path`, or a new empty file. The caller closes the descriptor. */
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

/** A link that leads nowhere exists for mkdir(2) and does not for open(2). */
function explain(error: unknown, path: string): unknown {
  if (!(error instanceof Errno)) return error;
  const named = Buffer.from(path, 'latin1').toString();
  if (error.code === E.ELOOP) return new Failure(`the image makes "${named}" a symbolic link`);
  if (error.code === E.EEXIST) return new Failure(`the image's link "${named}" leads nowhere`);
  if (error.code === E.ENOTDIR) return new Failure(`the image's "${named}" is not a directory`);
  return error;
}
