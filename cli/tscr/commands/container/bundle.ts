/** tscr bundle: creates a bundle of an image, for runc, crun or `tscr run --bundle`. */
import { Command } from 'commander';
import { shown } from '../../../../fs/input/shown.js';
import { makeBundle } from '../../../../runtime/container/lifecycle/make-bundle.js';
import { print } from '../../../terminal/output.js';
import { storeOf } from '../../storage.js';

export function bundleCommand(): Command {
  return new Command('bundle')
    .description('create an OCI runtime bundle of an image: config.json and a copy of the root filesystem')
    .argument('<image>', 'name or ID of the image')
    .argument('<dir>', 'a new or empty directory')
    .action((image: string, directory: string, _options: object, command: Command) => {
      makeBundle(storeOf(command), image, directory);
      print(shown(directory));
    });
}
