/** tscr rmi: removes names and images. */
import { Command } from 'commander';
import { reconcileLeases } from '../../../../runtime/container/records/reconcile.js';
import { familiar } from '../../../../runtime/image/reference.js';
import { removeImage } from '../../../../runtime/image/store/removal.js';
import type { Removal } from '../../../../runtime/image/store/store.js';
import { print } from '../../../terminal/output.js';
import { storeOf } from '../../storage.js';

export function rmiCommand(): Command {
  return new Command('rmi')
    .description('remove one or more images, and layers that no other image uses')
    .argument('<image...>', 'names or IDs; if an image has several names, only the given name is removed')
    .option('-f, --force', 'force the removal of an image with several names, or in use by a container')
    .action(run);
}

async function run(images: string[], { force }: { force?: true }, command: Command): Promise<void> {
  const store = storeOf(command);
  await reconcileLeases(store);
  for (const image of images) printRemoval(await removeImage(store, image, force === true));
}

export function printRemoval({ untagged, images, layers }: Removal): void {
  for (const name of untagged) print(`Untagged: ${familiar(name)}`);
  for (const digest of [...images, ...layers]) print(`Deleted: ${digest}`);
}
