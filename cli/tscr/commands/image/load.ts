/** tscr load: loads images from an archive. */
import { existsSync, statSync } from 'node:fs';
import { Command } from 'commander';
import { UsageError } from '../../../../fs/index.js';
import { familiar } from '../../../../runtime/image/reference.js';
import type { CopiedImage } from '../../../../runtime/image/transfer/copy.js';
import { loadPath, loadStream } from '../../../../runtime/image/transfer/load.js';
import { print, warn } from '../../../terminal/output.js';
import { Progress } from '../../../terminal/progress.js';
import { parseSize } from '../../../terminal/size.js';
import { storeOf } from '../../storage.js';

interface Options {
  readonly input?: string;
  readonly quiet?: true;
  readonly maxUnpacked?: string;
}

export function loadCommand(): Command {
  return new Command('load')
    .description('load images from a docker archive or an OCI layout (tar archive or directory)')
    .argument('[archive]', 'file or directory; "-" or nothing is standard input')
    .option('-i, --input <path>', 'read from a file or directory, instead of standard input')
    .option('-q, --quiet', 'suppress the progress output')
    .option('--max-unpacked <size>', 'refuse layers whose unpacked size is larger, e.g. 10g')
    .action(run);
}

async function run(archive: string | undefined, options: Options, command: Command): Promise<void> {
  const { quiet, maxUnpacked } = options;
  const input = inputOf(archive, options.input);
  const store = storeOf(command);
  const progress = new Progress(quiet === true);
  const limits = maxUnpacked === undefined ? {} : { maxBytes: parseSize(maxUnpacked) };
  const loading = {
    limits,
    onWarning: warn,
    onBytes: (bytes: number) => progress.advance(bytes),
    onLayer: ({ number, count }: { number: number; count: number }) =>
      progress.step(`unpacking layer ${number} of ${count}`),
  };
  if (input === '-' && process.stdin.isTTY)
    throw new UsageError('standard input is a terminal; name an archive, or pipe one in');
  if (input !== '-' && !existsSync(input)) throw new UsageError(`"${input}" does not exist`);
  progress.start(input === '-' ? 'reading standard input' : `reading ${input}`, sizeOf(input));
  try {
    const loaded =
      input === '-' ? await loadStream(store, process.stdin, loading) : await loadPath(store, input, loading);
    progress.stop();
    for (const image of loaded) printLoaded(image);
  } finally {
    progress.stop();
  }
}

function inputOf(argument: string | undefined, option: string | undefined): string {
  if (argument !== undefined && option !== undefined && argument !== option)
    throw new UsageError(`conflicting archives "${argument}" and --input "${option}"; name one`);
  return argument ?? option ?? '-';
}

/** Size of a file in bytes; undefined if it is not a regular file. */
function sizeOf(path: string): number | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isFile() === true ? stat.size : undefined;
}

function printLoaded({ id, names }: CopiedImage): void {
  if (names.length === 0) print(`Loaded image ID: ${id}`);
  for (const name of names) print(`Loaded image: ${familiar(name)}`);
}
