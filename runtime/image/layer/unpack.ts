/**
 * Unpacks a layer's tar stream into a directory that the union, or the kernel's overlayfs, can mount.
 *
 * Rules:
 * - Nothing outside the directory is ever touched. Names are split and checked (`names.ts`), directories are entered by
 *   descriptor and never through a symlink on disk. A parent that is a symlink of the same layer is resolved inside the
 *   root, as docker, podman and umoci do (`unpack-directories.ts`).
 * - A later entry replaces an earlier one of the same name; a directory's contents stay if it is a directory again.
 * - Whiteouts affect only the layers below, independent of their position in the archive (OCI image-spec layer.md,
 *   "Whiteouts"). They become 0/0 devices and overlayfs' opaque marks, or stay `.wh.` files if those are not permitted.
 *   Other names of aufs (`.wh..wh.*`) are left out.
 * - Blocks of zeros become holes.
 * - Sizes are counted when a header announces them, so a decompression bomb is refused before it is written.
 *
 * Compare UnpackLayer in moby's pkg/archive/diff.go and umoci's oci/layer/tar_extract.go.
 */
import type { Readable } from 'node:stream';
import { UsageError } from '../../../fs/index.js';
import { DOT_OPAQUE, DOT_WHITEOUT, makeSymlinkFile } from '../../../fs/layers.js';
import { AT, O } from '../../../fs/sys/constants.js';
import { E, Errno, unless } from '../../../fs/sys/errno.js';
import { toBytes } from '../../../fs/sys/path-bytes.js';
import { isDirectory, isWhiteoutDevice } from '../../../fs/sys/stat.js';
import {
  close,
  ftruncate,
  linkat,
  mknodat,
  openat,
  readDirectory,
  statat,
  symlinkat,
} from '../../../fs/sys/syscalls.js';
import { writeSparse } from '../../../fs/sys/write-sparse.js';
import { quote, refusal, splitName } from '../tar/names.js';
import type { TarEntry } from '../tar/tar-entry.js';
import { TarError } from '../tar/tar-header.js';
import { readTar, type TarSink } from '../tar/tar-read.js';
import { type FileBelow, LayersBelow } from './layers-below.js';
import { type Attributes, applyAttributes, keepFor, overrideOf, TYPE_BITS } from './unpack-attributes.js';
import { Directories, type Directory, NotDirectory } from './unpack-directories.js';

export interface UnpackLimits {
  /** Maximum bytes of data, attributes and paths. */
  readonly maxBytes: number;
  /** Maximum number of entries, including directories without an entry. */
  readonly maxEntries: number;
}

/** 64 GiB and four million entries: more than any real layer. */
export const UNPACK_LIMITS: UnpackLimits = { maxBytes: 64 * 2 ** 30, maxEntries: 4_000_000 };

export interface Unpacked {
  readonly entries: number;
  /** Of data and attributes. */
  readonly bytes: number;
  /** Whether the result depends on the layers below (`layers-below.ts`). */
  readonly leansOnBelow: boolean;
  /** Whether the layer has an entry for its root. */
  readonly describesRoot: boolean;
  /** The number of owners, attributes and devices that the process may not set or the filesystem does not support. */
  readonly skipped: number;
}

/**
 * Unpacks one layer. Nothing is synced: the caller does that before it renames the directory to its final name.
 *
 * Without root, owners, modes and types are kept in an attribute (`unpack-attributes.ts`), if the filesystem has any;
 * what is refused is skipped and counted.
 * @param tar uncompressed
 * @param directory an existing empty directory; after an error it has partial content, which the caller removes
 * @param below absolute paths of the unpacked layers below, the top one first
 * @throws UsageError for what is wrong with the archive, with the entry's name; errors of `tar` as they are
 */
export async function unpackLayer(
  tar: Readable,
  directory: string,
  limits: Partial<UnpackLimits> = {},
  below: readonly string[] = [],
): Promise<Unpacked> {
  const rootFd = openat(AT.FDCWD, toBytes(directory), O.RDONLY | O.DIRECTORY);
  const unpacker = new Unpacker(new Directories(rootFd, keepFor(rootFd), new LayersBelow(below)), {
    ...UNPACK_LIMITS,
    ...limits,
  });
  try {
    if (readDirectory(rootFd).length > 0) throw new UsageError(`"${directory}" is not empty`);
    await readTar(tar, unpacker);
    return unpacker.finish();
  } finally {
    unpacker.close();
  }
}

type SpecialType = 'symlink' | 'character' | 'block' | 'fifo';

const isAufsName = (name: string): boolean => name.startsWith(DOT_WHITEOUT + DOT_WHITEOUT);

const MAX_MAJOR = 0xfff;
const MAX_MINOR = 0xfffff;
const PRIVATE = 0o600;
const NEW_FILE = O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW;

class Unpacker implements TarSink {
  readonly #directories: Directories;
  readonly #limits: UnpackLimits;
  #entries = 0;
  #bytes = 0;
  /** Of whole paths: each is taken apart. */
  #nameBytes = 0;
  #skipped = 0;
  #describesRoot = false;
  #entry: TarEntry | undefined;
  /** The regular file that is being written, or -1, and how long it is. */
  #fd = -1;
  #written = 0;

  constructor(directories: Directories, limits: UnpackLimits) {
    this.#directories = directories;
    this.#limits = limits;
  }

  entry(entry: TarEntry): void {
    this.#entry = entry;
    this.#explaining(() => {
      const path = splitName(entry.name);
      this.#count(entry);
      const at = path.findIndex((name) => name.startsWith(DOT_WHITEOUT));
      if (at >= 0) this.#whiteout(entry, path, at);
      else this.#make(entry, path);
      this.#checkEntries(entry);
    });
  }

  data(chunk: Buffer, offset: number): void {
    if (this.#fd < 0) return;
    this.#explaining(() => {
      this.#written = Math.max(this.#written, writeSparse(this.#fd, chunk, offset));
    });
  }

  end(): void {
    const [fd, entry] = [this.#fd, this.#entry];
    if (fd < 0 || entry === undefined) return;
    this.#explaining(() => {
      if (this.#written < entry.size) ftruncate(fd, entry.size); // it ends with a hole
      this.#skipped += applyAttributes(fd, '', { ...entry, type: 'file' }, this.#directories.keep);
    });
    this.#fd = -1;
    close(fd);
  }

  finish(): Unpacked {
    this.#skipped += this.#directories.finish();
    const { leansOnBelow } = this.#directories;
    return {
      entries: this.#entries,
      bytes: this.#bytes,
      skipped: this.#skipped,
      leansOnBelow,
      describesRoot: this.#describesRoot,
    };
  }

  close(): void {
    if (this.#fd >= 0) close(this.#fd);
    this.#directories.close();
  }

  #count(entry: TarEntry): void {
    this.#entries += 1;
    this.#checkEntries(entry);
    this.#bytes += entry.stored;
    this.#nameBytes += entry.name.length + entry.linkName.length;
    for (const value of entry.xattrs.values()) this.#bytes += value.length;
    const { maxBytes } = this.#limits;
    if (this.#bytes + this.#nameBytes > maxBytes) {
      throw refusal(
        entry.name,
        `exceeds the layer's limit of ${maxBytes} bytes; raise it with --max-unpacked`,
      );
    }
  }

  #checkEntries(entry: TarEntry): void {
    const { maxEntries } = this.#limits;
    if (this.#entries + this.#directories.implied > maxEntries) {
      throw refusal(entry.name, `exceeds the layer's limit of ${maxEntries} entries`);
    }
  }

  /** @param at the component that is a whiteout */
  #whiteout(entry: TarEntry, path: readonly string[], at: number): void {
    const name = path[at] as string;
    const isLast = at === path.length - 1;
    if (name === DOT_OPAQUE && isLast) {
      this.#directories.hideAll(this.#directories.reach(path.slice(0, at)));
      return;
    }
    if (isAufsName(name)) return;
    const hidden = name.slice(DOT_WHITEOUT.length);
    if (!isLast) throw refusal(entry.name, `is below the whiteout ${quote(name)}`);
    if (hidden === '' || hidden === '.' || hidden === '..') {
      throw refusal(entry.name, `is a whiteout of ${quote(hidden)}`);
    }
    this.#directories.hide(this.#directories.reach(path.slice(0, at)), hidden);
  }

  #make(entry: TarEntry, path: readonly string[]): void {
    const name = path.at(-1);
    if (name === undefined) {
      if (entry.type !== 'directory') throw refusal(entry.name, `replaces the root by a ${entry.type}`);
      this.#directories.root.attributes = { ...entry, type: 'directory' };
      this.#describesRoot = true;
      return;
    }
    const parent = this.#directories.reach(path.slice(0, -1));
    if (entry.type === 'directory') {
      this.#directories.make(parent, name).attributes = { ...entry, type: 'directory' };
    } else if (entry.type === 'file') this.#file(parent, name);
    else if (entry.type === 'link') this.#link(entry, parent, name);
    else this.#special(entry, entry.type, parent, name);
  }

  #file(parent: Directory, name: string): void {
    this.#directories.replacing(parent, name, (dirfd) => {
      this.#fd = openat(dirfd, name, NEW_FILE, PRIVATE);
      this.#written = 0;
    });
  }

  /** The inode got its attributes with its first name. */
  #link(entry: TarEntry, parent: Directory, name: string): void {
    const { directory, target } = this.#linked(entry);
    if (directory === parent && target === name) return;
    const from = openat(this.#directories.fd(directory), '.', O.PATH | O.DIRECTORY);
    try {
      this.#directories.replacing(parent, name, (dirfd) => linkat(from, target, dirfd, name));
    } finally {
      close(from);
    }
  }

  /** The target of a hard link: in this layer, or in those below, from which it is copied first. */
  #linked(entry: TarEntry): { directory: Directory; target: string } {
    const path = splitName(entry.linkName, entry.name);
    const target = path.at(-1);
    const what = `is a hard link to ${quote(entry.linkName)}`;
    if (target === undefined) throw refusal(entry.name, `${what}, which is a directory`);
    const directory = this.#directories.find(path.slice(0, -1));
    const stat = directory && statat(this.#directories.fd(directory), target);
    if (directory !== undefined && stat !== undefined && !isWhiteoutDevice(stat)) {
      if (isDirectory(stat.mode)) throw refusal(entry.name, `${what}, which is a directory`);
      return { directory, target };
    }
    const below = this.#directories.covers(path) ? undefined : this.#directories.below.file(path);
    if (below === undefined || this.#directories.covers(below.path))
      throw refusal(entry.name, `${what}, which exists neither in this layer nor in those below`);
    return this.#copyUp(entry, below);
  }

  #copyUp(entry: TarEntry, below: FileBelow): { directory: Directory; target: string } {
    this.#directories.leansOnBelow = true;
    this.#count({ ...entry, stored: below.size, xattrs: below.xattrs });
    const directory = this.#directories.reach(below.path.slice(0, -1));
    const target = below.path.at(-1) as string;
    const copied = { ...entry, ...below, name: entry.name };
    if (below.type !== 'file') this.#special(copied, below.type as SpecialType, directory, target);
    else this.#copyFile(below, directory, target);
    return { directory, target };
  }

  #copyFile(below: FileBelow, directory: Directory, name: string): void {
    let fd = -1;
    this.#directories.replacing(directory, name, (dirfd) => {
      fd = openat(dirfd, name, NEW_FILE, PRIVATE);
    });
    try {
      below.copyTo(fd);
      this.#skipped += applyAttributes(fd, '', below, this.#directories.keep);
    } finally {
      close(fd);
    }
  }

  #special(entry: TarEntry, type: SpecialType, parent: Directory, name: string): void {
    const attributes = { ...entry, type };
    if (type === 'symlink') this.#symlink(attributes, parent, name);
    else if (!this.#device(attributes, parent, name)) return;
    const dirfd = this.#directories.fd(parent);
    this.#skipped += applyAttributes(dirfd, name, attributes, this.#directories.keep);
  }

  /** If the owner of symlinks cannot be recorded, it is root (`recordedForArchive`). */
  #symlink(entry: TarEntry & Attributes, parent: Directory, name: string): void {
    checkTarget(entry);
    const { keep } = this.#directories;
    const isPlain = keep === undefined || (entry.uid === 0 && entry.gid === 0);
    this.#directories.replacing(parent, name, (dirfd) => {
      if (isPlain) symlinkat(entry.linkName, dirfd, name);
      else makeSymlinkFile(keep, { dirfd, name }, entry.linkName, overrideOf(entry));
    });
  }

  /** Whether the device could be created; the kernel refuses outside the initial user namespace. */
  #device(entry: TarEntry & Attributes, parent: Directory, name: string): boolean {
    const { type, major, minor } = entry;
    if (major < 0 || minor < 0 || major > MAX_MAJOR || minor > MAX_MINOR) {
      throw refusal(entry.name, `has the invalid device number ${major}:${minor}`);
    }
    const { keep } = this.#directories;
    const isWhiteout = type === 'character' && major === 0 && minor === 0;
    const made = unless([E.EPERM], () => {
      if (keep !== undefined && isWhiteout) throw new Errno(E.EPERM); // the owner of a whiteout is not recorded
      this.#directories.replacing(parent, name, (dirfd) => {
        if (keep === undefined) mknodat(dirfd, name, TYPE_BITS[type] | PRIVATE, major, minor);
        else close(openat(dirfd, name, NEW_FILE, PRIVATE));
      });
      return true;
    });
    if (made !== true) this.#skipped += 1;
    return made === true;
  }

  /** Adds the entry's name to errors of the filesystem and of the format. */
  #explaining(step: () => void): void {
    try {
      step();
    } catch (error) {
      const name = this.#entry?.name ?? '';
      if (error instanceof NotDirectory) {
        throw refusal(name, `is below ${quote(error.component)}, which is ${error.kind}`);
      }
      if (error instanceof TarError) throw refusal(name, error.message);
      if (error instanceof Errno) throw refusal(name, `cannot be unpacked: ${error.message}`);
      throw error;
    }
  }
}

function checkTarget(entry: TarEntry): void {
  if (entry.linkName === '') throw refusal(entry.name, 'is a symlink without a target');
  if (entry.linkName.includes('\0'))
    throw refusal(entry.name, 'is a symlink whose target contains a NUL byte');
}
