/** Files of this package, wherever the bundler has put the code that asks. */
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

/** Manifests below the package's root say how modules are to be read, and have no name. */
function holdsPackage(directory: string): boolean {
  const manifest = join(directory, MANIFEST);
  return existsSync(manifest) && 'name' in JSON.parse(readFileSync(manifest, 'utf8'));
}

/** The path of a file that the package holds; `path` is relative to its root. */
export const packageFile = (path: string): string => join(packageRoot(), path);
