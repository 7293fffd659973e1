/** tscr doctor: examines the host and prints fixes. */
import { Command } from 'commander';
import { UsageError } from '../../../../fs/index.js';
import { examine, type Report } from '../../../../runtime/doctor/examine.js';
import type { Finding } from '../../../../runtime/doctor/finding.js';
import { realHost } from '../../../../runtime/host/real-host.js';
import { print, printJson, table } from '../../../terminal/output.js';
import { storeOf } from '../../storage.js';

const NOT_READY = 1;

export function doctorCommand(): Command {
  return new Command('doctor')
    .description('examine this host: how each command works here, what is missing, and how to fix it')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExit code: 0 if "tscr run" works, else 1.')
    .action(run);
}

function run({ json }: { json?: true }, command: Command): void {
  const report = examine(realHost(), storePathOf(command));
  if (json === true) printJson(report);
  else print(render(report));
  process.exitCode = report.ready ? 0 : NOT_READY;
}

/** Undefined for a user without a home directory; that is one of the findings. */
function storePathOf(command: Command): string | undefined {
  try {
    return storeOf(command).root;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    return undefined;
  }
}

/** The report as aligned lines; a fix follows its finding. */
export function render({ findings, modes }: Report): string {
  const width = Math.max(...findings.map(({ id }) => id.length));
  const modeRows = modes.map(({ command, detail, because }) => [
    command,
    because.length === 0 ? detail : `${detail} (${because.join(', ')})`,
  ]);
  const lines = findings.flatMap((finding) => linesOf(finding, width));
  return [...lines, '', table(['COMMAND', 'MODE'], modeRows)].join('\n');
}

const STATUS_WIDTH = 'warning'.length;

function linesOf({ status, id, detail, fix }: Finding, width: number): string[] {
  const line = `${status.padEnd(STATUS_WIDTH)}  ${id.padEnd(width)}  ${detail}`;
  if (fix === undefined) return [line];
  const indent = ' '.repeat(STATUS_WIDTH + width + 4);
  return [line, `${indent}${fix.asRoot ? 'as root: ' : 'fix: '}${fix.command}`];
}
