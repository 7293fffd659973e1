/** tscr load: images out of an archive. */
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
    .description('load images from a docker archive or an OCI layout, a file or a directory')
    .argument('[archive]', 'a file or a directory; "-" or nothing is standard input')
    .option('-i, --input <path>', 'the same as an option')
    .option('-q, --quiet', 'say only what was loaded')
    .option('--max-unpacked <size>', 'refuse layers larger than this, e.g. 10g')
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
    onWarning: (message: string) => warn(`load: ${message}`),
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
    for (const image of loaded) tell(image);
  } finally {
    progress.stop();
  }
}

function inputOf(argument: string | undefined, option: string | undefined): string {
  if (argument !== undefined && option !== undefined && argument !== option)
    throw new UsageError(`"${argument}" and --input "${option}" are two archives; name one`);
  return argument ?? option ?? '-';
}

/** Bytes of a file; undefined for what is none. */
function sizeOf(path: string): number | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat?.isFile() === true ? stat.size : undefined;
}

function tell({ id, names }: CopiedImage): void {
  if (names.length === 0) print(`Loaded image ID: ${id}`);
  for (const name of names) print(`Loaded image: ${familiar(name)}`);
}
