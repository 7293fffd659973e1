/** tscr top: lists a container's processes with the host's pids. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { Command } from 'commander';
import { UsageError } from '../../../../fs/index.js';
import { findRecord, statusOf } from '../../../../runtime/container/records/containers.js';
import { print, table } from '../../../terminal/output.js';
import { storeOf } from '../../storage.js';

export function topCommand(): Command {
  return new Command('top')
    .description("display the running processes of a container, with the host's process IDs")
    .argument('<container>', 'name or ID')
    .action(run);
}

function run(name: string, _options: object, command: Command): void {
  const { root } = storeOf(command);
  const record = findRecord(root, name);
  const status = statusOf(root, record);
  const rows = status.is === 'running' ? processesBeside(status.pid) : [];
  if (rows.length === 0) throw new UsageError(`container "${record.name}" is not running`);
  print(table(['PID', 'PPID', 'UID', 'INSIDE', 'COMMAND'], rows));
}

/** The processes in the pid namespace of a process; none if it has ended. */
function processesBeside(pid: number): string[][] {
  const namespace = namespaceOf(String(pid));
  if (namespace === undefined || namespace === namespaceOf('self')) return [];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && namespaceOf(name) === namespace)
    .flatMap((name) => describe(name) ?? []);
}

function namespaceOf(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined; // it has ended, or access is not permitted
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
