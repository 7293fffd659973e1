/**
 * A file of a tree as an entry of an archive.
 *
 * Rules: nothing of this host gets in: no access times, no user names, none of the security labels that its policy
 * gives (capabilities are the file's own). Sockets are left out, as by docker and GNU tar: tar has no form for them. A
 * sparse file is written with its zeros. The second name of an inode is a hard link to the first.
 */
import { UsageError } from '../../fs/index.js';
import { isAcl, O, S } from '../../fs/sys/constants.js';
import { E, Errno } from '../../fs/sys/errno.js';
import type { Stat } from '../../fs/sys/stat.js';
import { close, getxattrat, listxattrat, openat, pread } from '../../fs/sys/syscalls.js';
import { linkTarget, type Place } from '../../fs/union/owners.js';
import type { OverrideXattr } from '../../fs/union/ownership.js';
import { quote } from './names.js';
import type { EntryType, TarEntry } from './tar-entry.js';
import type { Item } from './tar-write.js';

const TYPES = new Map<number, EntryType>([
  [S.IFREG, 'file'],
  [S.IFDIR, 'directory'],
  [S.IFLNK, 'symlink'],
  [S.IFCHR, 'character'],
  [S.IFBLK, 'block'],
  [S.IFIFO, 'fifo'],
]);
const CHUNK = 256 * 1024;

/**
 * The name in the archive of an attribute that a file has; undefined leaves it out.
 * @param override how the file's layer keeps owners
 */
export type NameAttribute = (attribute: string, override?: OverrideXattr) => string | undefined;

/** Turns the files of one walk into items. */
export class Packer {
  /** The first name of each inode with several. */
  readonly #names = new Map<string, string>();
  readonly #nameAttribute: NameAttribute;

  constructor(nameAttribute: NameAttribute) {
    this.#nameAttribute = nameAttribute;
  }

  /**
   * The item of a file; undefined if tar has no form for it.
   * @param stat as its layer records it
   * @param path relative to the root, "" for the root itself
   * @param override how its layer keeps owners
   */
  item(place: Place, stat: Stat, path: string, override?: OverrideXattr): Item | undefined {
    const type = TYPES.get(stat.mode & S.IFMT);
    if (type === undefined) return undefined;
    const first = type === 'directory' ? undefined : this.#firstName(stat, path);
    if (first !== undefined) return { entry: { ...plain(stat, path, 'link'), linkName: first } };
    const size = type === 'file' ? Number(stat.size) : 0;
    const entry: TarEntry = {
      ...plain(stat, type === 'directory' ? `${path || '.'}/` : path, type),
      size,
      stored: size,
      linkName: type === 'symlink' ? linkTarget(place) : '',
      major: type === 'character' || type === 'block' ? stat.rdevMajor : 0,
      minor: type === 'character' || type === 'block' ? stat.rdevMinor : 0,
      xattrs: this.#xattrs(place, override),
    };
    return type === 'file' ? { entry, data: dataOf(place, size, path) } : { entry };
  }

  #firstName({ nlink, dev, ino }: Stat, path: string): string | undefined {
    if (nlink < 2) return undefined;
    const key = `${dev}:${ino}`;
    const first = this.#names.get(key);
    if (first === undefined) this.#names.set(key, path);
    return first;
  }

  #xattrs({ dirfd, name }: Place, override: OverrideXattr | undefined): Map<string, Buffer> {
    const found = new Map<string, Buffer>();
    for (const attribute of listxattrat(dirfd, name).sort()) {
      const shown = this.#nameAttribute(attribute, override);
      const value = shown === undefined || !isOfFile(shown) ? undefined : getxattrat(dirfd, name, attribute);
      if (shown !== undefined && value !== undefined) found.set(shown, Buffer.from(value));
    }
    return found;
  }
}

/** Whether an attribute belongs to the file and not to the host it lies on. */
function isOfFile(attribute: string): boolean {
  if (attribute.startsWith('security.')) return attribute === 'security.capability';
  return !attribute.startsWith('system.') || isAcl(attribute);
}

const PERMISSIONS = 0o7777;

/** An entry without content. */
export function plain(
  { mode, uid, gid, mtime }: Pick<Stat, 'mode' | 'uid' | 'gid' | 'mtime'>,
  name: string,
  type: EntryType,
): TarEntry {
  const nothing = { size: 0, stored: 0, linkName: '', major: 0, minor: 0, xattrs: new Map<string, Buffer>() };
  return { type, name, mode: mode & PERMISSIONS, uid, gid, mtime, ...nothing };
}

/** The first `size` bytes of a file. */
function* dataOf({ dirfd, name }: Place, size: number, path: string): Generator<Buffer> {
  const fd = name === '' ? dirfd : openat(dirfd, name, O.RDONLY | O.NOFOLLOW | O.NONBLOCK);
  try {
    for (let offset = 0; offset < size; ) {
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK, size - offset));
      const count = pread(fd, chunk, chunk.length, offset);
      if (count === 0) throw new UsageError(`${quote(path)} shrank while it was read`);
      yield chunk.subarray(0, count);
      offset += count;
    }
  } catch (error) {
    if (error instanceof Errno && error.code === E.EIO)
      throw new UsageError(`${quote(path)} cannot be read: EIO`);
    throw error;
  } finally {
    if (name !== '') close(fd);
  }
}
