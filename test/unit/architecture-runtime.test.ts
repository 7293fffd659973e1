/**
 * Protects the directions inside runtime/: each room imports only rooms below it, types too, so that images know nothing
 * of containers, and what a host allows is asked in one place. No file imports itself through others.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert } from 'chai';

function repositoryRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'tsconfig.json'))) directory = dirname(directory);
  return directory;
}

const ROOT = repositoryRoot();
const IMPORTS = /\b(?:from\s+|import\s+|import\(\s*|new URL\(\s*)'(\.[^']+)'/g;

function sources(directory: string): string[] {
  return readdirSync(join(ROOT, directory), { withFileTypes: true }).flatMap((entry) => {
    const path = `${directory}/${entry.name}`;
    if (entry.isDirectory()) return sources(path);
    return entry.name.endsWith('.ts') ? [path] : [];
  });
}

/** The sources that a file imports, as paths from the repository's root. */
function importsOf(path: string): string[] {
  const code = readFileSync(join(ROOT, path), 'utf8').replace(/^\s*(\/\/|\*|\/\*).*$/gm, '');
  return [...code.matchAll(IMPORTS)].map(([, name = '']) =>
    relative(ROOT, resolve(ROOT, dirname(path), name)).replace(/\.js$/, '.ts'),
  );
}

const GRAPH = new Map(['runtime', 'cli'].flatMap(sources).map((path) => [path, importsOf(path)]));

/** Every room of runtime/, the lowest first, with the rooms that it may import beside fs/. */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  host: [],
  command: ['host'],
  rootless: ['host'],
  doctor: ['rootless', 'host'],
  namespaces: ['doctor', 'rootless', 'command', 'host'],

  image: ['host'],

  'container/spec': ['image', 'rootless', 'host'],
  'container/records': ['image', 'host'],
  'container/cgroup': ['container/spec', 'host'],
  'container/init': ['container/spec', 'host'],
  'container/owners': ['container/records', 'container/spec', 'rootless', 'host'],
  'container/root': [
    'container/init',
    'container/owners',
    'container/records',
    'container/spec',
    'image',
    'doctor',
    'rootless',
    'host',
  ],
  'container/process': [
    'container/init',
    'container/owners',
    'container/cgroup',
    'container/spec',
    'command',
    'host',
  ],
  'container/lifecycle': [
    'container/process',
    'container/root',
    'container/init',
    'container/owners',
    'container/cgroup',
    'container/records',
    'container/spec',
    'image',
    'namespaces',
    'rootless',
    'command',
    'host',
  ],
};

/** The rooms of images among each other: `architecture-image.test.ts`. */
function roomOf(path: string): string {
  const room = relative('runtime', dirname(path));
  return room.startsWith('image/') ? 'image' : room;
}

describe('architecture: runtime', () => {
  it('has no file outside of its rooms', () => {
    const homeless = [...GRAPH.keys()].filter(
      (path) => path.startsWith('runtime/') && !(roomOf(path) in ROOMS),
    );
    assert.isEmpty(homeless);
  });

  for (const [at, [room, below]] of Object.entries(ROOMS).entries()) {
    it(`${room} imports only ${['itself', ...below, 'fs'].join(', ')}`, () => {
      const earlier = Object.keys(ROOMS).slice(0, at);
      assert.isEmpty(
        below.filter((name) => !earlier.includes(name)),
        'a room that comes later',
      );
      const wrong = [...GRAPH]
        .filter(([path]) => path.startsWith('runtime/') && roomOf(path) === room)
        .flatMap(([path, imports]) =>
          imports
            .filter((name) => !name.startsWith('fs/') && ![room, ...below].includes(roomOf(name)))
            .map((name) => `${path} -> ${name}`),
        );
      assert.isEmpty(wrong);
    });
  }

  for (const top of ['runtime', 'cli']) {
    it(`${top} has no import circles, types included`, () => {
      const circles: string[] = [];
      const done = new Set<string>();
      const visit = (path: string, way: readonly string[]): void => {
        if (way.includes(path)) circles.push([...way.slice(way.indexOf(path)), path].join(' -> '));
        if (way.includes(path) || done.has(path)) return;
        for (const next of GRAPH.get(path) ?? []) visit(next, [...way, path]);
        done.add(path);
      };
      for (const path of GRAPH.keys()) if (path.startsWith(`${top}/`)) visit(path, []);
      assert.isEmpty(circles);
    });
  }
});
