/**
 * The outer tar of an image archive: a few files with plain names, unlike the tars of layers (`tar.ts`).
 *
 * Rule: what is written depends on nothing but the entries: owner 0, time 0 unless an entry has one.
 */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { extract, type Header, type Pack, pack } from 'tar-stream';
import { UsageError } from '../../fs/index.js';

/** One file of an archive that is read; `body` must be read to its end before the next one comes. */
export interface ReadEntry {
  readonly name: string;
  readonly type: string;
  /** Bytes. */
  readonly size: number;
  /** Of links and symlinks. */
  readonly linkname: string;
  readonly body: Readable;
}

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

const MODES = { directory: 0o755, symlink: 0o777, file: 0o644 } as const;
const EPOCH = new Date(0);

/** The entries of a tar stream in order. Throws `UsageError` if it is none. */
export async function* readTar(stream: Readable): AsyncGenerator<ReadEntry> {
  const entries = extract();
  const flow = pipeline(stream, entries);
  flow.catch(() => {}); // reported by the loop
  try {
    for await (const body of entries) {
      const { name, type, size, linkname } = body.header;
      yield { name, type, size, linkname, body: Readable.from(body, { objectMode: false }) };
      body.resume();
    }
    await flow;
  } catch (error) {
    throw error instanceof Error && isFormatError(error)
      ? new UsageError(`this is no tar archive, or a damaged one: ${error.message.toLowerCase()}`)
      : error;
  }
}

/** Errors of tar-stream and of the decompressors have no class of their own. */
const isFormatError = (error: Error): boolean =>
  !(error instanceof UsageError) &&
  !('syscall' in error) &&
  /invalid|unexpected end|incorrect|corrupt/i.test(error.message);

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
