/**
 * An entry of a tar archive, with nothing rounded or decoded.
 *
 * Rule: names, link targets and attribute names are bytes, one character each (latin1); values are buffers.
 */
import type { Time } from '../../../fs/sys/stat.js';

export type EntryType = 'file' | 'directory' | 'symlink' | 'link' | 'character' | 'block' | 'fifo';

/** A piece of a sparse file that is not a hole, in bytes. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

export interface TarEntry {
  readonly type: EntryType;
  readonly name: string;
  /** Permission bits, with set-id and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Time;
  /** Bytes of the file, holes counted. */
  readonly size: number;
  /** Bytes of the file that the archive holds. */
  readonly stored: number;
  /** Target of a symlink or hard link. */
  readonly linkName: string;
  readonly major: number;
  readonly minor: number;
  readonly xattrs: ReadonlyMap<string, Buffer>;
}
