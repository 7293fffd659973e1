/** tscr system: what the store takes, and making room. */
import { createInterface } from 'node:readline/promises';
import { Command } from 'commander';
import { UsageError } from '../../../../fs/index.js';
import { pruneContainers } from '../../../../runtime/container/lifecycle/prune.js';
import { checkStore } from '../../../../runtime/image/store/check.js';
import { pruneImages } from '../../../../runtime/image/store/removal.js';
import { containerUse, imageUse } from '../../../../runtime/image/store/usage.js';
import { humanSize } from '../../../terminal/human.js';
import { print, printJson, table } from '../../../terminal/output.js';
import { tellDamagedContainers, tellDamagedImages } from '../../damage.js';
import { storeOf } from '../../storage.js';
import { tellRemoval } from '../image/rmi.js';
import { infoCommand } from './info.js';

const PERCENT = 100;
/** Exit code of a check that found what it did not mend. */
const DAMAGED = 1;

export function systemCommand(): Command {
  return new Command('system')
    .description('work on the store as a whole')
    .addCommand(infoCommand())
    .addCommand(new Command('df').description('show what takes space').option('--json', 'as JSON').action(df))
    .addCommand(
      new Command('check')
        .description(
          'compare all that the store holds with its digests, and unpacked layers with their archives',
        )
        .option('--repair', 'mend what can be mended from the rest of the store')
        .action(check),
    )
    .addCommand(
      new Command('prune')
        .description('remove ended containers, and images that have no name and no user')
        .option('-a, --all', 'remove every image that no container uses')
        .option('-f, --force', 'do not ask')
        .action(prune),
    );
}

async function check({ repair }: { repair?: true }, command: Command): Promise<void> {
  const { findings, counts } = await checkStore(storeOf(command), repair === true);
  for (const { what, problem, repaired, advice } of findings)
    print(`${what}: ${problem}; ${repaired ?? advice}`);
  const left = findings.filter(({ repaired }) => repaired === undefined).length;
  const { images, layers, containers } = counts;
  const checked = `checked ${images} images, ${layers} layers and ${containers} containers`;
  print(left === 0 ? `The store is sound: ${checked}` : `${left} damaged: ${checked}`);
  if (left > 0) process.exitCode = DAMAGED;
}

function df({ json }: { json?: true }, command: Command): void {
  const store = storeOf(command);
  tellDamagedImages('df', store);
  tellDamagedContainers('df', store);
  const rows = [
    { type: 'Images', ...imageUse(store) },
    { type: 'Containers', ...containerUse(store) },
  ];
  if (json === true) {
    printJson(rows);
    return;
  }
  const cells = rows.map(({ type, total, active, size, reclaimable }) => [
    type,
    String(total),
    String(active),
    humanSize(size),
    `${humanSize(reclaimable)} (${size === 0 ? 0 : Math.floor((reclaimable / size) * PERCENT)}%)`,
  ]);
  print(table(['TYPE', 'TOTAL', 'ACTIVE', 'SIZE', 'RECLAIMABLE'], cells));
}

async function prune({ all, force }: { all?: true; force?: true }, command: Command): Promise<void> {
  const store = storeOf(command);
  if (force !== true) await confirm(all === true);
  tellDamagedImages('prune', store);
  tellDamagedContainers('prune', store);
  const containers = pruneContainers(store.root);
  for (const id of containers.ids) print(`Deleted: ${id}`);
  const removal = await pruneImages(store, all === true);
  tellRemoval(removal);
  print(`Total reclaimed space: ${humanSize(containers.freed + removal.freed)}`);
}

async function confirm(all: boolean): Promise<void> {
  if (!process.stdin.isTTY) throw new UsageError('standard input is no terminal to ask; use --force');
  const what = all ? 'every image that no container uses' : 'every image without name and user';
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(`Remove ended containers and ${what}? [y/N] `);
  terminal.close();
  if (!/^y(es)?$/i.test(answer.trim())) throw new UsageError('nothing was removed');
}
