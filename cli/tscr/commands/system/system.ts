/** tscr system: disk usage, verification and cleanup of the store. */
import { createInterface } from 'node:readline/promises';
import { Command } from 'commander';
import { UsageError } from '../../../../fs/index.js';
import { checkStore } from '../../../../runtime/container/lifecycle/check.js';
import { pruneContainers } from '../../../../runtime/container/lifecycle/prune.js';
import { reconcileLeases } from '../../../../runtime/container/records/reconcile.js';
import { containerUse } from '../../../../runtime/container/records/usage.js';
import { pruneImages } from '../../../../runtime/image/store/removal.js';
import { imageUse } from '../../../../runtime/image/store/usage.js';
import { humanSize } from '../../../terminal/human.js';
import { print, printJson, table } from '../../../terminal/output.js';
import { warnDamagedContainers, warnDamagedImages } from '../../damage.js';
import { storeOf } from '../../storage.js';
import { printRemoval } from '../image/rmi.js';
import { infoCommand } from './info.js';

const PERCENT = 100;
/** Exit code of a check that found damage and did not repair it. */
const DAMAGED = 1;

export function systemCommand(): Command {
  return new Command('system')
    .description('manage the store')
    .addCommand(infoCommand())
    .addCommand(new Command('df').description('show disk usage').option('--json', 'print JSON').action(df))
    .addCommand(
      new Command('check')
        .description('verify all blobs and unpacked layers of the store against their digests')
        .option('--repair', 'repair what can be rebuilt from other parts of the store')
        .action(check),
    )
    .addCommand(
      new Command('prune')
        .description('remove all stopped containers, and images without a name that no container uses')
        .option('-a, --all', 'remove all images that no container uses, not only those without a name')
        .option('-f, --force', 'do not prompt for confirmation')
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
  print(left === 0 ? `no damage found; ${checked}` : `${left} damaged; ${checked}`);
  if (left > 0) process.exitCode = DAMAGED;
}

async function df({ json }: { json?: true }, command: Command): Promise<void> {
  const store = storeOf(command);
  await reconcileLeases(store);
  warnDamagedImages(store);
  warnDamagedContainers(store);
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
  warnDamagedImages(store);
  warnDamagedContainers(store);
  const containers = pruneContainers(store.root);
  for (const id of containers.ids) print(`Deleted: ${id}`);
  await reconcileLeases(store);
  const removal = await pruneImages(store, all === true);
  printRemoval(removal);
  print(`Total reclaimed space: ${humanSize(containers.freed + removal.freed)}`);
}

async function confirm(all: boolean): Promise<void> {
  if (!process.stdin.isTTY) throw new UsageError('standard input is not a terminal; confirm with --force');
  const what = all ? 'all images that no container uses' : 'all images without a name that no container uses';
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(`Remove all stopped containers and ${what}? [y/N] `);
  terminal.close();
  if (!/^y(es)?$/i.test(answer.trim())) throw new UsageError('cancelled; nothing was removed');
}
