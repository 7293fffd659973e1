/** tscr image: the image commands as subcommands, and `from-host`. */
import { Command } from 'commander';
import { UsageError } from '../../../../fs/index.js';
import { imageFromHost } from '../../../../runtime/image/from-host/from-host.js';
import { formatReference, parseTag } from '../../../../runtime/image/reference.js';
import { collect, print } from '../../../terminal/output.js';
import { storeOf } from '../../storage.js';
import { historyCommand } from './history.js';
import { imagesCommand } from './images.js';
import { importCommand } from './import.js';
import { loadCommand } from './load.js';
import { rmiCommand } from './rmi.js';
import { saveCommand } from './save.js';
import { tagCommand } from './tag.js';

export function imageCommand(): Command {
  return new Command('image')
    .description('manage images')
    .addCommand(fromHostCommand())
    .addCommand(imagesCommand().name('ls'))
    .addCommand(rmiCommand().name('rm'))
    .addCommand(loadCommand())
    .addCommand(saveCommand())
    .addCommand(importCommand())
    .addCommand(tagCommand())
    .addCommand(historyCommand());
}

function fromHostCommand(): Command {
  return new Command('from-host')
    .description('create an image of programs of this host and the libraries that they need')
    .argument('<program...>', 'names or paths, separated by spaces or commas; the first one becomes CMD')
    .option('-t, --tag <name>', 'name and tag of the new image; may be repeated', collect, [])
    .action(run);
}

async function run(programs: string[], { tag }: { tag: string[] }, command: Command): Promise<void> {
  const wanted = programs.flatMap((list) => list.split(',')).filter((program) => program !== '');
  if (wanted.length === 0) throw new UsageError(`missing program in "${programs.join(' ')}"`);
  const names = tag.map((name) => formatReference(parseTag(name)));
  print(await imageFromHost(storeOf(command), wanted, names));
}
