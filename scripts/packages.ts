/**
 * Packages of npm's registry for machines other than this one, which "npm ci" does not install.
 *
 * Rule: nothing is used whose digest is not the one that is written down in this repository. npm keeps what it has
 * downloaded in its cache.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Pin {
  readonly name: string;
  readonly version: string;
  /** As in a package-lock.json: "sha512-" and the digest in base64. */
  readonly integrity: string;
}

/** Calls `use` with a directory that holds the package's files, and removes it. */
export function withPackage<T>(pin: Pin, use: (directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), 'tscr-package-'));
  try {
    const archive = download(pin, directory);
    execFileSync('tar', ['-xzf', archive, '-C', directory, '--strip-components=1', '--no-same-owner']);
    return use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function download({ name, version, integrity }: Pin, directory: string): string {
  const args = [
    'pack',
    '--silent',
    '--prefer-offline',
    '--pack-destination',
    directory,
    `${name}@${version}`,
  ];
  const output = execFileSync('npm', args, { encoding: 'utf8', cwd: directory });
  const archive = join(directory, output.trim().split('\n').at(-1) ?? '');
  const digest = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
  if (digest !== integrity) throw new Error(`${name}@${version} has the digest ${digest}, not ${integrity}`);
  return archive;
}

/** A package of this repository's package-lock.json. */
export function lockedPackage(root: string, name: string): Pin {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Readonly<Record<string, Omit<Pin, 'name'>>>;
  };
  const locked = packages[`node_modules/${name}`];
  if (locked === undefined) throw new Error(`package-lock.json has no "${name}"`);
  return { name, version: locked.version, integrity: locked.integrity };
}
