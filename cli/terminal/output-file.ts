/**
 * Writes archives to a file or to standard output.
 *
 * Rules: a file gets its name when it is complete; until then an older file of this name stays. Binary data is never
 * written to a terminal.
 */
import { createWriteStream, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { UsageError } from '../../fs/index.js';
import { withPath } from '../../fs/sys/errno.js';
import { close, fsync, ftruncate } from '../../fs/sys/syscalls.js';
import { writeSparse } from '../../fs/sys/write-sparse.js';

/** Writes the stream of `source` to a file, or to standard output if `path` is undefined or "-". Throws `UsageError`. */
export async function writeOutput(path: string | undefined, source: () => Readable): Promise<void> {
  if (path === undefined || path === '-') {
    if (process.stdout.isTTY) {
      throw new UsageError('standard output is a terminal; name a file with --output, or redirect it');
    }
    await pipeline(source(), process.stdout);
    return;
  }
  checkTarget(path);
  if (statSync(path, { throwIfNoEntry: false })?.isFile() === false) {
    await pipeline(source(), createWriteStream(path)); // a device or a pipe cannot be replaced
    return;
  }
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.tmp`);
  try {
    await writeFile(temporary, source());
    renameSync(temporary, path);
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Writes a new file; blocks of zeros become holes. */
async function writeFile(path: string, source: Readable): Promise<void> {
  const fd = openSync(path, 'wx');
  try {
    let size = 0;
    for await (const chunk of source) {
      writeSparse(fd, chunk as Buffer, size);
      size += (chunk as Buffer).length;
    }
    ftruncate(fd, size);
    fsync(fd);
  } catch (error) {
    throw withPath(path, error);
  } finally {
    close(fd);
  }
}

function checkTarget(path: string): void {
  if (statSync(dirname(path), { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new UsageError(`cannot write "${path}": "${dirname(path)}" is not a directory`);
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true)
    throw new UsageError(`"${path}" is a directory`);
}
