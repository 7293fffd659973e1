/** tscr import: creates an image with one layer from a tar of a root filesystem. */
import { statSync } from 'node:fs';
import { Command } from 'commander';
import { UsageError } from '../../../../fs/index.js';
import { applyChanges } from '../../../../runtime/image/create/changes.js';
import { buildImage } from '../../../../runtime/image/create/new-image.js';
import { openInput } from '../../../../runtime/image/files/input.js';
import { formatReference, parseTag } from '../../../../runtime/image/reference.js';
import { collect, print } from '../../../terminal/output.js';
import { storeOf } from '../../storage.js';

interface Options {
  readonly change: readonly string[];
  readonly message?: string;
}

export function importCommand(): Command {
  return new Command('import')
    .description('import a tar archive of a root filesystem as an image')
    .argument('<file>', 'tar archive, plain or compressed; "-" is standard input')
    .argument('[reference]', 'name and tag of the new image')
    .option(
      '-c, --change <instruction>',
      'apply a Dockerfile instruction to the new image, e.g. "CMD bash"; may be repeated',
      collect,
      [],
    )
    .option('-m, --message <text>', 'commit message, shown by "tscr history"')
    .action(run);
}

async function run(
  file: string,
  reference: string | undefined,
  { change, message }: Options,
  command: Command,
): Promise<void> {
  const names = reference === undefined ? [] : [formatReference(parseTag(reference))];
  const execution = applyChanges({}, change);
  if (file !== '-') checkFile(file);
  if (file === '-' && process.stdin.isTTY)
    throw new UsageError('standard input is a terminal; name a file, or pipe a tar in');
  const id = await storeOf(command).write((writer) =>
    buildImage(writer, {
      layer: file === '-' ? process.stdin : openInput(file),
      execution,
      step: { created_by: '', comment: message ?? `Imported from ${file}` },
      names,
    }),
  );
  print(id);
}

function checkFile(path: string): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw new UsageError(`"${path}" does not exist`);
  if (stat.isDirectory()) throw new UsageError(`"${path}" is a directory; name a tar file, or pipe one in`);
}
