/** tscr save: images into one archive. */
import { Command, Option } from 'commander';
import { ARCHIVE_FORMATS, type ArchiveFormat, saveImages } from '../../../../runtime/image/transfer/save.js';
import { writeOutput } from '../../../terminal/output-file.js';
import { storeOf } from '../../storage.js';

interface Options {
  readonly output?: string;
  readonly format: ArchiveFormat;
}

export function saveCommand(): Command {
  return new Command('save')
    .description('save images to an archive that docker, podman and skopeo read')
    .argument('<image...>', 'names or IDs')
    .option('-o, --output <file>', 'the archive; standard output by default')
    .addOption(
      new Option('--format <format>', 'the form of the archive')
        .choices(ARCHIVE_FORMATS)
        .default('docker-archive'),
    )
    .action(run);
}

async function run(images: string[], { output, format }: Options, command: Command): Promise<void> {
  await saveImages(storeOf(command), images, format, (archive) => writeOutput(output, archive));
}
