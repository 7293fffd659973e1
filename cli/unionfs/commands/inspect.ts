/** unionfs inspect: prints the layers of a mount in order, and its counters. */
import { Command } from 'commander';
import { shown } from '../../../fs/input/shown.js';
import { print, printJson, table } from '../../terminal/output.js';
import { type Inspection, requireInspection, unionMountAt } from '../mounts.js';

export function inspectCommand(): Command {
  return new Command('inspect')
    .description('show the layers and counters of a mount')
    .argument('<mountpoint>')
    .option('--json', 'print JSON')
    .action(run);
}

async function run(path: string, options: { json?: true }): Promise<void> {
  const mountpoint = await unionMountAt(path);
  const inspection = await requireInspection(mountpoint);
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
    `mountpoint  ${shown(mountpoint)}`,
    `server      pid ${pid}`,
    `workdir     ${shown(work ?? '-')}`,
    `changes     ${shown(String(settings.layerChanges))}`,
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
