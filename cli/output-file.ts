/**
 * Where archives are written to.
 *
 * Rules: a file appears under its name when it is whole, and an older one stays until then. Binary data never goes to
 * a terminal.
 */
import { createWriteStream, renameSync, rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { UsageError } from '../fs/index.js';

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
    const file = await open(temporary, 'wx');
    await pipeline(source(), file.createWriteStream({ flush: true }));
    renameSync(temporary, path);
  } finally {
    rmSync(temporary, { force: true });
  }
}

function checkPlace(path: string): void {
  if (statSync(dirname(path), { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new UsageError(`"${dirname(path)}" is no directory to write "${basename(path)}" to`);
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true)
    throw new UsageError(`"${path}" is a directory`);
}
