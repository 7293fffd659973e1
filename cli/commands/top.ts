/** tscr top: a container's processes, as the host numbers them. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { Command } from 'commander';
import { UsageError } from '../../fs/index.js';
import { clearLeftovers, findRecord, statusOf } from '../../runtime/container/containers.js';
import { print, table } from '../output.js';
import { storeOf } from '../storage.js';

export function topCommand(): Command {
  return new Command('top')
    .description("list a container's processes with the host's process IDs")
    .argument('<container>', 'name or ID')
    .action(run);
}

function run(name: string, _options: object, command: Command): void {
  const { root } = storeOf(command);
  clearLeftovers(root);
  const record = findRecord(root, name);
  const status = statusOf(root, record);
  if (status.is !== 'running') throw new UsageError(`container "${record.name}" does not run`);
  print(table(['PID', 'PPID', 'UID', 'INSIDE', 'COMMAND'], processesBeside(status.pid)));
}

/** The processes in the pid namespace of a process. */
function processesBeside(pid: number): string[][] {
  const namespace = namespaceOf(String(pid));
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && namespaceOf(name) === namespace)
    .flatMap((name) => describe(name) ?? []);
}

function namespaceOf(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined; // it has ended, or is not ours to see
  }
}

function describe(pid: string): string[][] | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const field = (name: string): string[] =>
      new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1]?.split(/\s+/) ?? [];
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
    const inside = field('NSpid').at(-1) ?? '';
    return [[pid, field('PPid')[0] ?? '', field('Uid')[0] ?? '', inside, command || `[${field('Name')[0]}]`]];
  } catch {
    return undefined;
  }
}
