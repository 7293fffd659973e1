/** Directory trees written down as literals. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Paths to what is there: the text of a file, or the contents of a directory. */
export interface Tree {
  readonly [path: string]: string | Tree;
}

const READABLE = 0o755;

/** Makes a tree below a directory; missing parents are made too, whatever the umask. */
export function writeTree(directory: string, tree: Tree): void {
  makeDirectory(directory);
  for (const [path, content] of Object.entries(tree)) {
    const target = join(directory, path);
    if (typeof content !== 'string') {
      writeTree(target, content);
      continue;
    }
    makeDirectory(dirname(target));
    writeFileSync(target, content);
  }
}

function makeDirectory(path: string): void {
  if (mkdirSync(path, { recursive: true }) !== undefined) chmodSync(path, READABLE);
}
