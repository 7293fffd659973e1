/** One tarball for a machine: unpacked anywhere, its bin/ holds the programs. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { version } from '../../cli/version.js';
import { type Machine, ROOT } from '../addons.js';
import { releaseTime } from '../release-time.js';
import { installTree, LIBRARY, NAME, setModes } from './tree.js';

/** Files that someone looks for at the top. */
const AT_TOP = ['LICENSE', 'README.md', 'CHANGELOG.md'];

/** Makes it; the path of the file. */
export function tarball(machine: Machine, work: string, output: string): string {
  const name = `${NAME}-${version()}-linux-${machine}`;
  const tree = join(work, name);
  mkdirSync(tree);
  installTree(machine, tree, 'bin');
  for (const file of AT_TOP) copyFileSync(join(ROOT, file), join(tree, file));
  copyFileSync(join(tree, LIBRARY, 'VERSION'), join(tree, 'VERSION'));
  setModes(tree);
  const file = join(output, `${name}.tar.gz`);
  const same = ['--sort=name', `--mtime=@${releaseTime()}`, '--owner=0', '--group=0', '--numeric-owner'];
  execFileSync('tar', ['--format=gnu', ...same, '-I', 'gzip -n', '-cf', file, '-C', work, name]);
  return file;
}
