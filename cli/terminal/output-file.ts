/**
 * Where archives are written to.
 *
 * Rules: a file appears under its name when it is whole, and an older one stays until then. Binary data never goes to
 * a terminal.
 */
import { createWriteStream, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { UsageError } from '../../fs/index.js';
import { close, fsync, ftruncate } from '../../fs/sys/syscalls.js';
import { writeSparse } from '../../fs/sys/write-sparse.js';

/** Writes what `source` gives to a file, or to standard output if it is undefined or "-". Throws `UsageError`. */
export async function writeOutput(path: string | undefined, source: () => Readable): Promise<void> {
  if (path === undefined || path === '-') {
    if (process.stdout.isTTY) {
      throw new UsageError('standard output is a terminal; name a file with --output, or redirect it');
    }
    await pipeline(source(), process.stdout);
    return;
  }
  checkPlace(path);
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

/** Writes a new file, with holes for its zeros. */
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
  } finally {
    close(fd);
  }
}

function checkPlace(path: string): void {
  if (statSync(dirname(path), { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new UsageError(`"${dirname(path)}" is no directory to write "${basename(path)}" to`);
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true)
    throw new UsageError(`"${path}" is a directory`);
}
