/** unionfs list: lists mounts. */
import { Command } from 'commander';
import { print, printJson, table } from '../../terminal/output.js';
import { inspectAll } from '../mounts.js';

export function listCommand(): Command {
  return new Command('list')
    .alias('ls')
    .description('list mounts')
    .option('--json', 'print JSON')
    .action(run);
}

const WITHOUT_INSPECTION = {
  gone: 'the server has ended',
  silent: 'the server does not answer',
  closed: 'accessible only to the user who mounted it',
  strange: 'not served by unionfs',
} as const;

async function run(options: { json?: true }): Promise<void> {
  const all = await inspectAll();
  if (options.json === true) {
    printJson(
      all.map((mountState) => ({
        ...(mountState.state === 'live' && mountState.inspection),
        mountpoint: mountState.mountpoint,
        state: mountState.state,
      })),
    );
    return;
  }
  const rows = all.map((mountState) => {
    if (mountState.state !== 'live')
      return [mountState.mountpoint, '-', '-', '-', WITHOUT_INSPECTION[mountState.state]];
    const { upper, lowers, pid } = mountState.inspection;
    const layers = lowers.length + (upper === undefined ? 0 : 1);
    const mode = upper === undefined ? 'ro' : 'rw';
    return [mountState.mountpoint, mode, String(layers), String(pid), upper ?? '-'];
  });
  print(table(['MOUNTPOINT', 'MODE', 'LAYERS', 'PID', 'UPPER'], rows));
}
