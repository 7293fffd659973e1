/** tscr info: prints information about the store and the host. */
import { Command } from 'commander';
import { shown } from '../../../../fs/input/shown.js';
import { machineInfo } from '../../../../runtime/container/records/machine-info.js';
import { humanSize } from '../../../terminal/human.js';
import { print, printJson } from '../../../terminal/output.js';
import { render } from '../../../terminal/template.js';
import { version } from '../../../version.js';
import { storeOf } from '../../storage.js';

export function infoCommand(): Command {
  return new Command('info')
    .description('display information about the store and the host')
    .option('--json', 'print JSON')
    .option('-f, --format <template>', 'format the output with a template, e.g. "{{.Driver}}"')
    .action(run);
}

function run({ json, format }: { json?: true; format?: string }, command: Command): void {
  const info = { ServerVersion: version(), ...machineInfo(storeOf(command)) };
  if (json === true) printJson(info);
  else if (format !== undefined) print(render(format, info));
  else for (const [name, value] of Object.entries(info)) print(`${name}: ${shown(show(name, value))}`);
}

function show(name: string, value: unknown): string {
  if (name === 'MemTotal') return humanSize(value as number);
  return Array.isArray(value) ? value.join(' ') : String(value);
}
