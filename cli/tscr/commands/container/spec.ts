/** tscr spec: writes a default config.json. */
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { UsageError } from '../../../../fs/index.js';
import { defaultSpec } from '../../../../runtime/container/spec/default-spec.js';

interface Options {
  readonly bundle: string;
}

export function specCommand(): Command {
  return new Command('spec')
    .description('write a default config.json for an OCI bundle')
    .option('-b, --bundle <dir>', 'directory of the bundle', '.')
    .action(run);
}

function run({ bundle }: Options): void {
  const path = join(bundle, 'config.json');
  const fd = create(path);
  try {
    writeFileSync(fd, `${JSON.stringify(defaultSpec(), null, 2)}\n`);
  } finally {
    closeSync(fd);
  }
}

function create(path: string): number {
  try {
    return openSync(path, 'wx');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw new UsageError(`"${path}" already exists; remove it first`);
    throw new UsageError(`cannot write "${path}": ${code}`);
  }
}
