/** tscr save: saves images to an archive. */
import { Command } from 'commander';
import { type ArchiveFormat, saveImages } from '../../../../runtime/image/transfer/save.js';
import { ChoiceOption } from '../../../terminal/choice-option.js';
import { writeOutput } from '../../../terminal/output-file.js';
import { storeOf } from '../../storage.js';

interface Options {
  readonly output?: string;
  readonly format: ArchiveFormat;
}

const FORMAT_HELP: Readonly<Record<ArchiveFormat, string>> = {
  'docker-archive': 'as docker save',
  oci: 'OCI image layout',
};

export function saveCommand(): Command {
  return new Command('save')
    .description('save one or more images to a tar archive, for docker, podman and skopeo')
    .argument('<image...>', 'names or IDs')
    .option('-o, --output <file>', 'write to a file, instead of standard output')
    .addOption(new ChoiceOption('--format <format>', 'format of the archive', FORMAT_HELP, 'docker-archive'))
    .action(run);
}

async function run(images: string[], { output, format }: Options, command: Command): Promise<void> {
  await saveImages(storeOf(command), images, format, (archive) => writeOutput(output, archive));
}
