/** unionfs list: the live mounts. */
import { Command } from 'commander';
import { print, printJson, table } from '../../terminal/output.js';
import { inspectAll } from '../mounts.js';

export function listCommand(): Command {
  return new Command('list')
    .alias('ls')
    .description('list live mounts')
    .option('--json', 'as JSON')
    .action(run);
}

const WITHOUT_INSPECTION = {
  gone: 'its server is gone',
  silent: 'its server does not answer',
  closed: 'open to another user alone',
  strange: 'its server is none of ours',
} as const;

async function run(options: { json?: true }): Promise<void> {
  const all = await inspectAll();
  if (options.json === true) {
    printJson(
      all.map((told) => ({
        ...(told.state === 'live' && told.inspection),
        mountpoint: told.mountpoint,
        state: told.state,
      })),
    );
    return;
  }
  const rows = all.map((told) => {
    if (told.state !== 'live') return [told.mountpoint, '-', '-', '-', WITHOUT_INSPECTION[told.state]];
    const { upper, lowers, pid } = told.inspection;
    const layers = lowers.length + (upper === undefined ? 0 : 1);
    const mode = upper === undefined ? 'ro' : 'rw';
    return [told.mountpoint, mode, String(layers), String(pid), upper ?? '-'];
  });
  print(table(['MOUNTPOINT', 'MODE', 'LAYERS', 'PID', 'UPPER'], rows));
}
