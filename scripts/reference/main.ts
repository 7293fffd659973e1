/**
 * reference/main.js [--docs]: manual pages and completions in dist/share/, from the definitions that make `--help`; with
 * --docs the reference pages in docs/ too, which are kept in the repository (test/packaging/reference.test.ts).
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { version } from '../../cli/version.js';
import { ROOT } from '../addons.js';
import { releaseDay } from '../release-time.js';
import { bashCompletion } from './bash.js';
import { fishCompletion } from './fish.js';
import { referencePage } from './markdown.js';
import { type Edition, manualPage } from './roff.js';
import { type CommandEntry, programs } from './tree.js';
import { zshCompletion } from './zsh.js';

/** Pages that are written by hand, and the names by which they are found too. */
const BY_HAND = ['unionfs-overlay.1', 'mount.fuse.unionfs.8'];

function pageByHand(name: string, { version, date }: Edition): string {
  const text = readFileSync(join(ROOT, 'scripts/reference', name), 'utf8');
  return text.replaceAll('@VERSION@', version).replaceAll('@DATE@', date);
}

/** Files of dist/share, by their path there. */
function sharedFiles(all: readonly CommandEntry[], edition: Edition): Map<string, string> {
  return new Map([
    ...all.flatMap((program): [string, string][] => [
      [`man/man1/${program.name}.1`, manualPage(program, edition)],
      [`bash-completion/completions/${program.name}`, bashCompletion(program)],
      [`zsh/site-functions/_${program.name}`, zshCompletion(program)],
      [`fish/vendor_completions.d/${program.name}.fish`, fishCompletion(program)],
    ]),
    ...BY_HAND.map((name): [string, string] => [
      `man/man${name.slice(-1)}/${name}`,
      pageByHand(name, edition),
    ]),
  ]);
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

const all = await programs();
const edition = { version: version(), date: releaseDay() };
for (const [path, text] of sharedFiles(all, edition)) write(join(ROOT, 'dist/share', path), text);
if (process.argv.includes('--docs'))
  for (const program of all) write(join(ROOT, 'docs', `${program.name}.md`), referencePage(program));
