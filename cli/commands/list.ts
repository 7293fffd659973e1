/** unionfs list: the live mounts. */
import { Command } from 'commander';
import { inspectMount, unionMounts } from '../mounts.js';
import { print, printJson, table } from '../output.js';

export function listCommand(): Command {
  return new Command('list')
    .alias('ls')
    .description('list live mounts')
    .option('--json', 'as JSON')
    .action(run);
}

function run(options: { json?: true }): void {
  const found = unionMounts().map((mountpoint) => ({ mountpoint, inspection: inspectMount(mountpoint) }));
  if (options.json === true) {
    printJson(found.map(({ mountpoint, inspection }) => ({ mountpoint, ...inspection })));
    return;
  }
  const rows = found.map(({ mountpoint, inspection }) =>
    inspection === undefined
      ? [mountpoint, '-', '-', '-', 'its server is gone']
      : [
          mountpoint,
          inspection.upper === undefined ? 'ro' : 'rw',
          String(inspection.lowers.length + (inspection.upper === undefined ? 0 : 1)),
          String(inspection.pid),
          inspection.upper ?? '-',
        ],
  );
  print(table(['MOUNTPOINT', 'MODE', 'LAYERS', 'PID', 'UPPER'], rows));
}
