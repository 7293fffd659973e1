/** tscr import: a tar of a root file system becomes an image of one layer. */
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
    .description('make an image from a tar of a root file system')
    .argument('<file>', 'the tar, plain or compressed; "-" is standard input')
    .argument('[reference]', 'the name of the image')
    .option(
      '-c, --change <instruction>',
      'change the configuration, e.g. "CMD bash"; may be repeated',
      collect,
      [],
    )
    .option('-m, --message <text>', "the history's comment")
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
  if (file !== '-' && statSync(file, { throwIfNoEntry: false })?.isDirectory() !== false)
    throw new UsageError(`"${file}" is no file`);
  if (file === '-' && process.stdin.isTTY)
    throw new UsageError('standard input is a terminal; pipe a tar in');
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
