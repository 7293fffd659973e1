/**
 * Converts a file of a tree to an entry of an archive.
 *
 * Rules: nothing specific to this host is written: no access times, no user names, no security labels of its policy (file
 * capabilities are written). Sockets are left out, as by docker and GNU tar: tar has no type for them. A sparse file is
 * written with zeros for its holes (docs/decisions), which are not read. The second name of an inode is a hard link to
 * the first.
 */
import { UsageError } from '../../../fs/index.js';
import { extentsOf, linkTarget, pathOf, type Trail } from '../../../fs/layers.js';
import { attributesOf, type TreeEntry } from '../../../fs/offline.js';
import { S } from '../../../fs/sys/constants.js';
import { E, Errno } from '../../../fs/sys/errno.js';
import type { Stat } from '../../../fs/sys/stat.js';
import { close, pread } from '../../../fs/sys/syscalls.js';
import { quote } from '../tar/names.js';
import type { EntryType, TarEntry } from '../tar/tar-entry.js';
import type { Item } from '../tar/tar-write.js';

const TYPES = new Map<number, EntryType>([
  [S.IFREG, 'file'],
  [S.IFDIR, 'directory'],
  [S.IFLNK, 'symlink'],
  [S.IFCHR, 'character'],
  [S.IFBLK, 'block'],
  [S.IFIFO, 'fifo'],
]);
const CHUNK = 256 * 1024;

/** Converts the files of one traversal to items. */
export class Packer {
  /** The first name of each inode with several. */
  readonly #names = new Map<string, Trail>();

  /**
   * The item of a file; none if tar has no type for it.
   * @param trail undefined for the root
   */
  *item(
    file: TreeEntry,
    trail: Trail | undefined,
    attributes: ReadonlyMap<string, Buffer> = attributesOf(file),
  ): Generator<Item> {
    const { stat, place } = file;
    const type = TYPES.get(stat.mode & S.IFMT);
    if (type === undefined) return;
    const path = pathOf(trail);
    const first = type === 'directory' ? undefined : this.#firstName(file, trail);
    if (first !== undefined) {
      yield { entry: { ...plain(stat, path, 'link'), linkName: pathOf(first) } };
      return;
    }
    if (type === 'file' && file.isMetacopy())
      throw new UsageError(
        `${quote(path)} is a metadata-only copy (overlayfs metacopy), whose data is in another layer`,
      );
    const size = type === 'file' ? Number(stat.size) : 0;
    const isDevice = type === 'character' || type === 'block';
    const entry: TarEntry = {
      ...plain(stat, type === 'directory' ? `${path || '.'}/` : path, type),
      size,
      stored: size,
      linkName: type === 'symlink' ? linkTarget(place) : '',
      major: isDevice ? stat.rdevMajor : 0,
      minor: isDevice ? stat.rdevMinor : 0,
      xattrs: attributes,
    };
    yield type === 'file' ? { entry, data: dataOf(file, size, path) } : { entry };
  }

  #firstName({ links, inode: { dev, ino } }: TreeEntry, trail: Trail | undefined): Trail | undefined {
    if (links < 2 || trail === undefined) return undefined;
    const key = `${dev}:${ino}`;
    const first = this.#names.get(key);
    if (first === undefined) this.#names.set(key, trail);
    return first;
  }
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

/** The first `size` bytes of a file; its holes are not read. */
function* dataOf(file: TreeEntry, size: number, path: string): Generator<Buffer> {
  const fd = file.openData();
  try {
    for (const { from, to, isHole } of extentsOf(fd, size)) {
      for (let offset = from; offset < to; ) {
        const length = Math.min(CHUNK, to - offset);
        const chunk = isHole ? ZEROS.subarray(0, length) : readAt(fd, offset, length);
        if (chunk.length === 0) throw new UsageError(`${quote(path)} shrank while it was read`);
        yield chunk;
        offset += chunk.length;
      }
    }
  } catch (error) {
    if (error instanceof Errno && error.code === E.EIO)
      throw new UsageError(`${quote(path)} cannot be read: EIO`);
    throw error;
  } finally {
    close(fd);
  }
}

const ZEROS = Buffer.alloc(CHUNK);

function readAt(fd: number, offset: number, length: number): Buffer {
  const chunk = Buffer.allocUnsafe(length);
  return chunk.subarray(0, pread(fd, chunk, length, offset));
}
