/** Paths of this package's files, independent of where the bundler puts this code. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MANIFEST = 'package.json';

function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!holdsPackage(directory)) {
    const above = dirname(directory);
    if (above === directory) throw new Error(`no ${MANIFEST} above the program`);
    directory = above;
  }
  return directory;
}

/** Whether a directory is the package's root; package.json files in subdirectories have no name. */
function holdsPackage(directory: string): boolean {
  const manifest = join(directory, MANIFEST);
  return existsSync(manifest) && 'name' in JSON.parse(readFileSync(manifest, 'utf8'));
}

/** The path of a file that the package holds; `path` is relative to its root. */
export const packageFile = (path: string): string => join(packageRoot(), path);
