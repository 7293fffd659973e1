/** tscr bundle: an image as a bundle for runc, crun or `tscr run --bundle`. */
import { Command } from 'commander';
import { shown } from '../../../../fs/input/shown.js';
import { makeBundle } from '../../../../runtime/container/lifecycle/make-bundle.js';
import { print } from '../../../terminal/output.js';
import { storeOf } from '../../storage.js';

export function bundleCommand(): Command {
  return new Command('bundle')
    .description('write an image as an OCI runtime bundle: config.json and a copy of the root')
    .argument('<image>', 'the image')
    .argument('<dir>', 'a directory that is made, or empty')
    .action((image: string, directory: string, _options: object, command: Command) => {
      makeBundle(storeOf(command), image, directory);
      print(shown(directory));
    });
}
