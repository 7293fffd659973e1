/**
 * reference/main.js [--docs]: manual pages and completions in dist/share/, from the definitions that make `--help`; with
 * --docs the reference pages in docs/ too, which are kept in the repository (test/packaging/reference.test.ts).
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { version } from '../../cli/version.js';
import { ROOT } from '../addons.js';
import { bashCompletion } from './bash.js';
import { fishCompletion } from './fish.js';
import { referencePage } from './markdown.js';
import { type Edition, manualPage } from './roff.js';
import { type CommandEntry, programs } from './tree.js';
import { zshCompletion } from './zsh.js';

const MS_PER_S = 1000;
const DAY = 'YYYY-MM-DD'.length;

/** Seconds since 1970 that files of a release carry: SOURCE_DATE_EPOCH, else the last commit's. */
export function releaseTime(): number {
  const { SOURCE_DATE_EPOCH } = process.env;
  if (SOURCE_DATE_EPOCH !== undefined) return Number(SOURCE_DATE_EPOCH);
  try {
    return Number(
      execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: ROOT, stdio: 'pipe' }).toString(),
    );
  } catch {
    return Math.floor(Date.now() / MS_PER_S); // a source tree without its history
  }
}

const dayOf = (time: number): string => new Date(time * MS_PER_S).toISOString().slice(0, DAY);

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
const edition = { version: version(), date: dayOf(releaseTime()) };
for (const [path, text] of sharedFiles(all, edition)) write(join(ROOT, 'dist/share', path), text);
if (process.argv.includes('--docs'))
  for (const program of all) write(join(ROOT, 'docs', `${program.name}.md`), referencePage(program));
