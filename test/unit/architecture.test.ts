/**
 * Protects the direction of dependencies, which keeps a request's way a straight line that one can read: `cli ->
 * runtime -> fs`, and inside `fs` `union -> protocol, sys`, `protocol` never `union`. Every import counts, types too,
 * and so do the modules that are started as threads (`new URL('./x.js', import.meta.url)`).
 */

import { readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { assert } from 'chai';
import { circlesIn, GRAPH, isSource, ROOT, TOP, under } from '../support/imports.js';

/** "importer -> imported" of everything that the files in `from` import and `allowed` does not take. */
function violations(from: string, allowed: (path: string) => boolean): string[] {
  return [...GRAPH]
    .filter(([path]) => path === from || under(from)(path))
    .flatMap(([path, imports]) =>
      imports.filter((name) => !allowed(name)).map((name) => `${path} -> ${name}`),
    );
}

/** A package may be imported by one of its parts: "package/part", "@scope/package/part". */
const packageOf = (name: string): string => /^(?:@[^/]+\/)?[^/]+/.exec(name)?.[0] ?? name;

describe('architecture: the imports', () => {
  it('are read: every one leads to a source or a package', () => {
    assert.isAbove(GRAPH.size, 50);
    assert.include(GRAPH.get('fs/union/nodes/readdir.ts') ?? [], 'fs/union/nodes/listing.ts');
    assert.include(GRAPH.get('fs/transport/notify.ts') ?? [], 'fs/transport/notifier.ts', 'a thread');
    const paths = [...GRAPH.values()].flat().filter((name) => name.includes('/') && !/^(node:|@)/.test(name));
    assert.isEmpty(paths.filter((name) => isSource(name) && !GRAPH.has(name)));
  });

  const SYSTEM = ['fs/input', 'fs/protocol', 'fs/sys'];
  const RULES = ['fs/union/rules'];
  const LAYERS = ['fs/union/layers', ...RULES];
  const OWNERS = ['fs/union/owners', ...LAYERS];
  const NODES = ['fs/union/nodes', ...OWNERS];

  /** What may be imported from where, beside the directory itself and packages. */
  const DIRECTIONS: readonly [from: string, to: readonly string[]][] = [
    ['fs', []],
    ['runtime', ['fs']],
    ['cli', ['runtime', 'fs']],
    ['bench', ['cli', 'runtime', 'fs']],
    ['scripts', ['cli', 'runtime', 'fs']],
    ['fs/sys', []],
    ['fs/input', ['fs/sys']],
    ['fs/protocol', ['fs/sys']],
    ['fs/transport', SYSTEM],
    ['fs/union', SYSTEM],
    ['fs/mount', [...SYSTEM, 'fs/transport', 'fs/union']],
    ['fs/union/rules', ['fs/sys/errno.ts', 'fs/sys/report.ts']],
    ['fs/union/layers', [...SYSTEM, ...RULES]],
    ['fs/union/owners', [...SYSTEM, ...LAYERS]],
    ['fs/union/nodes', [...SYSTEM, ...OWNERS]],
    ['fs/union/operations', [...SYSTEM, ...NODES]],
    ['fs/union/offline', [...SYSTEM, ...NODES]],
    ['fs/union/filesystem.ts', [...SYSTEM, 'fs/union/operations', ...NODES]],
  ];
  for (const [from, to] of DIRECTIONS) {
    it(`${from} imports only ${[from, ...to].join(', ')}`, () => {
      const allowed = (name: string): boolean =>
        !isSource(name) || [from, ...to].some((within) => name === within || under(within)(name));
      assert.isNotEmpty(
        violations(from, () => false),
        'nothing is read from there',
      );
      assert.isEmpty(violations(from, allowed));
    });
  }

  /** What `fs` is entered by; the system below the union is open to all. */
  const ENTRIES = ['index', 'layers', 'offline', 'background'].map((name) => `fs/${name}.ts`);
  for (const from of ['runtime', 'cli', 'bench']) {
    it(`${from} enters the union and its mounts only through ${ENTRIES.join(', ')}`, () => {
      const rooms = ['fs/union', 'fs/mount'].map(under);
      assert.isEmpty(violations(from, (name) => !rooms.some((within) => within(name))));
    });
  }

  it('nothing lies in fs itself but what it is entered by', () => {
    const strays = [...GRAPH.keys()].filter((path) => under('fs')(path) && path.split('/').length === 2);
    assert.sameMembers(strays, ENTRIES);
  });

  it('nothing within fs uses what it is entered by', () => {
    assert.isEmpty(violations('fs', (name) => !ENTRIES.includes(name)));
  });

  it('nothing lies in fs/union beside its rooms but the filesystem that they make', () => {
    const rooms = ['layers', 'nodes', 'offline', 'operations', 'owners', 'rules'].map(
      (room) => `fs/union/${room}`,
    );
    const strays = [...GRAPH.keys()]
      .filter(under('fs/union'))
      .filter((path) => !rooms.some((room) => under(room)(path)));
    assert.deepEqual(strays, ['fs/union/filesystem.ts']);
  });

  it('the rules that decide are pure: merge.ts imports nothing, plan.ts its types', () => {
    assert.isEmpty(violations('fs/union/rules/merge.ts', () => false));
    assert.isEmpty(violations('fs/union/rules/plan.ts', (name) => name === 'fs/union/rules/merge.ts'));
  });

  it('koffi has one door: fs/sys/native.ts', () => {
    const users = [...GRAPH].filter(([, imports]) => imports.includes('koffi')).map(([path]) => path);
    assert.deepEqual(users, ['fs/sys/native.ts']);
  });

  it('programs import only packages that are bundled with them (DESIGN, "Packages"); npm installs none', () => {
    const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<string, object>;
    assert.notProperty(manifest, 'dependencies');
    assert.notProperty(manifest, 'optionalDependencies');
    const bundled = ['cli-progress', 'commander', 'koffi', 'lru-cache', 'tar-stream', 'valibot', 'zstddec'];
    const known = (name: string): boolean =>
      isSource(name) || name.startsWith('node:') || bundled.includes(packageOf(name));
    assert.isEmpty(['fs', 'runtime', 'cli'].flatMap((from) => violations(from, known)));
  });

  it('modules of Node are named as such', () => {
    assert.isEmpty(TOP.flatMap((from) => violations(from, (name) => !builtinModules.includes(name))));
  });

  /** Where no file may lead back to itself. */
  const WITHOUT_CIRCLES = ['fs', 'runtime', 'cli'];
  for (const directory of WITHOUT_CIRCLES) {
    it(`${directory} has no import circles, types included`, () => {
      assert.deepEqual(circlesIn(GRAPH, under(directory)), []);
    });
  }

  it('circles are found, each as the files that lead to each other', () => {
    const graph = new Map([
      ['a', ['b']],
      ['b', ['c', 'd']],
      ['c', ['a']],
      ['d', ['e', 'elsewhere']],
      ['e', ['d']],
      ['f', ['a']],
    ]);
    const found = circlesIn(graph, () => true);
    assert.deepEqual(found, [
      ['a', 'b', 'c'],
      ['d', 'e'],
    ]);
    assert.deepEqual(
      circlesIn(graph, (path) => path !== 'c' && path !== 'e'),
      [],
    );
  });
});
