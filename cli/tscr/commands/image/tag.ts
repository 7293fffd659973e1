/** tscr tag: one more name for an image. */
import { Command } from 'commander';
import { storeOf } from '../../storage.js';

export function tagCommand(): Command {
  return new Command('tag')
    .description('give an image one more name')
    .argument('<image>', 'a name or an ID')
    .argument('<name>', 'the new name; an image that has it loses it')
    .action((image: string, name: string, _: object, command: Command) => storeOf(command).tag(image, name));
}
