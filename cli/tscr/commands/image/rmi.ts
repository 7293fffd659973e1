/** tscr rmi: removes names and images. */
import { Command } from 'commander';
import { familiar } from '../../../../runtime/image/reference.js';
import { removeImage } from '../../../../runtime/image/store/removal.js';
import type { Removal } from '../../../../runtime/image/store/store.js';
import { print } from '../../../terminal/output.js';
import { storeOf } from '../../storage.js';

export function rmiCommand(): Command {
  return new Command('rmi')
    .description('remove images, and the layers that no other image has')
    .argument('<image...>', 'names or IDs; one of several names is only taken away')
    .option('-f, --force', 'although it has several names, or a container uses it')
    .action(run);
}

async function run(images: string[], { force }: { force?: true }, command: Command): Promise<void> {
  const store = storeOf(command);
  for (const image of images) tellRemoval(await removeImage(store, image, force === true));
}

export function tellRemoval({ untagged, images, layers }: Removal): void {
  for (const name of untagged) print(`Untagged: ${familiar(name)}`);
  for (const digest of [...images, ...layers]) print(`Deleted: ${digest}`);
}
