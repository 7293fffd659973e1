/** tscr ps: lists containers. */
import { Command } from 'commander';
import {
  clearLeftovers,
  listRecords,
  type Status,
  shortId,
  statusOf,
} from '../../../../runtime/container/records/containers.js';
import type { ContainerRecord } from '../../../../runtime/container/records/record.js';
import { ago } from '../../../terminal/human.js';
import { print, printJson, table } from '../../../terminal/output.js';
import { warnDamagedContainers } from '../../damage.js';
import { storeOf } from '../../storage.js';

interface Options {
  readonly all?: true;
  readonly quiet?: true;
  readonly json?: true;
  readonly trunc: boolean;
}

const HEADER = ['CONTAINER ID', 'IMAGE', 'COMMAND', 'CREATED', 'STATUS', 'PID', 'NAMES'];
const COMMAND_WIDTH = 20;

export function psCommand(): Command {
  return new Command('ps')
    .description('list containers')
    .option('-a, --all', 'show all containers (default: only running ones)')
    .option('-q, --quiet', 'only display IDs')
    .option('--no-trunc', "don't truncate output")
    .option('--json', 'print JSON')
    .action(run);
}

function run(options: Options, command: Command): void {
  const store = storeOf(command);
  const { root } = store;
  clearLeftovers(root);
  warnDamagedContainers(store);
  const all = listRecords(root).map((record) => ({ record, status: statusOf(root, record) }));
  const shown = all.filter(({ status }) => options.all === true || status.is === 'running');
  const idOf = ({ id }: ContainerRecord): string => (options.trunc ? shortId(id) : id);
  if (options.json === true) printJson(shown.map(({ record, status }) => ({ ...record, status })));
  else if (options.quiet === true) for (const { record } of shown) print(idOf(record));
  else
    print(
      table(
        HEADER,
        shown.map(({ record, status }) => row(record, status, idOf(record), options.trunc)),
      ),
    );
}

function row(record: ContainerRecord, status: Status, id: string, trunc: boolean): string[] {
  const command = record.command.join(' ');
  const short = trunc && command.length > COMMAND_WIDTH ? `${command.slice(0, COMMAND_WIDTH - 1)}…` : command;
  const pid = status.is === 'running' ? String(status.pid) : '';
  return [id, record.image.reference, `"${short}"`, ago(record.created), describe(status), pid, record.name];
}

function describe(status: Status): string {
  switch (status.is) {
    case 'created':
      return 'Created';
    case 'running':
      return 'Up';
    case 'exited':
      return `Exited (${status.exitCode}) ${ago(status.finished)}`;
    case 'elsewhere':
      return 'On another node';
  }
}
