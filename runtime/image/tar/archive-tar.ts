/**
 * Writes tars from a list of entries: image archives, and files of the host. `pack.ts` packs layers.
 *
 * Rule: the output depends only on the entries: owner 0, and time 0 unless an entry has one.
 */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Header, type Pack, pack } from 'tar-stream';

interface Shape {
  readonly name: string;
  /** Permissions; 0755 for directories, 0777 for symlinks and 0644 for files by default. */
  readonly mode?: number;
  readonly mtime?: Date;
}

/** One file of an archive that is written. Names of directories end with "/". */
export type ArchiveEntry =
  | (Shape & { readonly type: 'directory' })
  | (Shape & { readonly type: 'symlink'; readonly target: string })
  | (Shape & {
      readonly type: 'file';
      /** Bytes. */
      readonly size: number;
      readonly open: () => Promise<Readable> | Readable | Buffer;
    });

/** A small file. */
export function textEntry(name: string, content: string): ArchiveEntry {
  const bytes = Buffer.from(content);
  return { type: 'file', name, size: bytes.length, open: () => bytes };
}

export const directoryEntry = (name: string): ArchiveEntry => ({ type: 'directory', name: `${name}/` });

const MODES = { directory: 0o755, symlink: 0o777, file: 0o644 } as const;
const EPOCH = new Date(0);

/** A tar of the entries. A failure to read one of them fails the stream. */
export function tarOf(entries: Iterable<ArchiveEntry>): Readable {
  const tar = pack();
  write(tar, entries).then(
    () => tar.finalize(),
    (error: Error) => tar.destroy(error),
  );
  return Readable.from(tar, { objectMode: false });
}

async function write(tar: Pack, entries: Iterable<ArchiveEntry>): Promise<void> {
  for (const entry of entries) {
    const { name, type, mode = MODES[type], mtime = EPOCH } = entry;
    const header: Partial<Header> & { name: string } = { name, type, mode, mtime, uid: 0, gid: 0 };
    if (entry.type !== 'file') {
      tar.entry({ ...header, ...(entry.type === 'symlink' && { linkname: entry.target }) });
      continue;
    }
    const content = await entry.open();
    if (Buffer.isBuffer(content)) tar.entry(header, content);
    else await pipeline(content, tar.entry({ ...header, size: entry.size }));
  }
}
