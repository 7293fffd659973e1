/** tscr tag: gives an image another name. */
import { Command } from 'commander';
import { storeOf } from '../../storage.js';

export function tagCommand(): Command {
  return new Command('tag')
    .description('create a tag that refers to an image')
    .argument('<image>', 'name or ID')
    .argument('<name>', 'the new name; it is taken from an image that has it')
    .action((image: string, name: string, _: object, command: Command) => storeOf(command).tag(image, name));
}
