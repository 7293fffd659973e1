/**
 * Who imports whom in this repository, as the sources say: types count too, and so do the modules that are started as
 * threads (`new URL('./x.js', import.meta.url)`).
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The nearest directory above the compiled test that holds sources. */
function repositoryRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'tsconfig.json'))) {
    const above = dirname(directory);
    if (above === directory) throw new Error('no tsconfig.json above the test');
    directory = above;
  }
  return directory;
}

export const ROOT = repositoryRoot();
export const TOP = ['bench', 'cli', 'fs', 'runtime', 'scripts', 'test'];

function sources(directory: string): string[] {
  return readdirSync(join(ROOT, directory), { withFileTypes: true }).flatMap((entry) => {
    const path = `${directory}/${entry.name}`;
    if (entry.isDirectory()) return sources(path);
    return entry.name.endsWith('.ts') ? [path] : [];
  });
}

/** `from '...'`, `import '...'`, `import('...')`. */
const IMPORTS = [
  /\bfrom\s+'([^']+)'/g,
  /\bimport\s+'([^']+)'/g,
  /\bimport\(\s*'([^']+)'/g,
  /\bnew URL\(\s*'(\.[^']+\.js)'/g,
];

/** What a file imports: paths from the repository's root, or names of packages. */
function importsOf(path: string): string[] {
  const text = readFileSync(join(ROOT, path), 'utf8').replace(/^\s*(\/\/|\*|\/\*).*$/gm, '');
  const found = IMPORTS.flatMap((pattern) => [...text.matchAll(pattern)].map(([, name = '']) => name));
  return found.map((name) =>
    name.startsWith('.') ? relative(ROOT, resolve(ROOT, dirname(path), name)).replace(/\.js$/, '.ts') : name,
  );
}

export type Graph = ReadonlyMap<string, readonly string[]>;

export const under = (directory: string) => (path: string) => path.startsWith(`${directory}/`);

/** Every source, with what it imports. */
export const GRAPH: Graph = new Map(
  TOP.filter((name) => existsSync(join(ROOT, name)))
    .flatMap(sources)
    .map((path) => [path, importsOf(path)]),
);

/** Paths within the repository; packages have rules of their own. */
export const isSource = (name: string): boolean => TOP.some((top) => under(top)(name));

/** The circles among the files that `within` takes: strongly connected components of more than one (Tarjan 1972). */
export function circlesIn(graph: Graph, within: (path: string) => boolean): string[][] {
  const order = new Map<string, number>();
  const lowest = new Map<string, number>();
  const open: string[] = [];
  const circles: string[][] = [];
  const visit = (path: string): number => {
    let low = order.size;
    order.set(path, low);
    lowest.set(path, low);
    open.push(path);
    for (const next of (graph.get(path) ?? []).filter((name) => within(name) && graph.has(name))) {
      if (!order.has(next)) low = Math.min(low, visit(next));
      else if (open.includes(next)) low = Math.min(low, lowest.get(next) ?? low);
    }
    lowest.set(path, low);
    if (low === order.get(path)) {
      const component = open.splice(open.indexOf(path));
      if (component.length > 1) circles.push(component.sort());
    }
    return low;
  };
  for (const path of graph.keys()) if (within(path) && !order.has(path)) visit(path);
  return circles.sort();
}
