/** unionfs inspect: the layers of a live mount in order, their modes, and what has been asked of it. */
import { Command } from 'commander';
import { UsageError } from '../../fs/index.js';
import { type Inspection, inspectMount, unionMountAt } from '../mounts.js';
import { print, printJson, table } from '../output.js';

export function inspectCommand(): Command {
  return new Command('inspect')
    .description('show the layers and counters of a live mount')
    .argument('<mountpoint>')
    .option('--json', 'as JSON')
    .action(run);
}

function run(path: string, options: { json?: true }): void {
  const mountpoint = unionMountAt(path);
  const inspection = inspectMount(mountpoint);
  if (inspection === undefined) throw new UsageError(`the server of "${mountpoint}" is gone; unmount it`);
  if (options.json === true) printJson({ mountpoint, ...inspection });
  else print(describe(mountpoint, inspection));
}

function describe(mountpoint: string, inspection: Inspection): string {
  const { lowers, upper, work, pid, settings, counters, whiteoutXattrs } = inspection;
  const written = `0/0 device, ${whiteoutXattrs ?? ''}opaque`;
  const layers = [
    ...(upper === undefined ? [] : [['upper', 'rw', upper, written]]),
    ...lowers.map((path) => ['lower', 'ro+wh', path, 'any form']),
  ].map((row, index) => [String(index), ...row]);
  const requests = Object.entries(counters.requests).sort(([, a], [, b]) => b - a);
  return [
    `mountpoint  ${mountpoint}`,
    `server      pid ${pid}`,
    `workdir     ${work ?? '-'}`,
    `changes     ${settings.layerChanges}`,
    `copied up   ${counters.copiedUpFiles} files, ${counters.copiedUpBytes} bytes`,
    `known       ${counters.nodes} nodes, ${counters.watches} watched directories`,
    '',
    table(['#', 'LAYER', 'MODE', 'PATH', 'WHITEOUTS'], layers),
    '',
    table(
      ['REQUEST', 'COUNT'],
      requests.map(([name, count]) => [name, String(count)]),
    ),
  ].join('\n');
}
