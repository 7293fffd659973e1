/**
 * npm run dist [-- --machine x64|arm64] [--deb] [--output DIR]: what is installed without npm and without Node, a tarball for
 * each machine, or a Debian package for each; in dist/release/, unless DIR is named.
 *
 * Rule: the same commit gives the same bytes: names are sorted, times are the commit's or SOURCE_DATE_EPOCH, owners are
 * root, modes do not depend on the umask.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { MACHINES, type Machine, ROOT } from '../addons.js';
import { debianPackage } from './debian.js';
import { tarball } from './tarball.js';

const { values } = parseArgs({
  options: { machine: { type: 'string' }, deb: { type: 'boolean' }, output: { type: 'string' } },
});
const output = values.output ?? join(ROOT, 'dist/release');

function machines(): readonly Machine[] {
  const chosen = MACHINES.filter((machine) => values.machine === undefined || machine === values.machine);
  if (chosen.length === 0)
    throw new Error(`--machine "${values.machine}" is not one of ${MACHINES.join(', ')}`);
  return chosen;
}

mkdirSync(output, { recursive: true });
for (const machine of machines()) {
  const work = mkdtempSync(join(tmpdir(), 'tscr-dist-'));
  try {
    console.log((values.deb === true ? debianPackage : tarball)(machine, work, output));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
