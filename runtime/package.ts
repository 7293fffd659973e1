/** Files of this package, wherever the bundler has put the code that asks. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MANIFEST = 'package.json';

function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, MANIFEST))) {
    const above = dirname(directory);
    if (above === directory) throw new Error(`no ${MANIFEST} above the program`);
    directory = above;
  }
  return directory;
}

/** The path of a file that the package holds; `path` is relative to its root. */
export const packageFile = (path: string): string => join(packageRoot(), path);
