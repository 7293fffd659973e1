/**
 * Protects the one-way house of images: plain documents at the bottom, then tars, layers and the store, what reads and
 * writes archives upon them, and the one copy on top. Every import counts, types too.
 */
import { assert } from 'chai';
import { GRAPH as ALL, under } from '../support/imports.js';

const HOME = 'runtime/image';

/** The rooms, and the others that each may import beside the documents; what lies in none is a document. */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  tar: [],
  layer: ['tar'],
  store: ['layer', 'tar'],
  files: ['store', 'layer', 'tar'],
  archive: ['files', 'store', 'layer', 'tar'],
  layout: ['files', 'store', 'tar'],
  transfer: ['archive', 'layout', 'files', 'store', 'layer'],
  create: ['store', 'layer'],
  'from-host': ['create', 'store', 'tar'],
  inspect: ['store'],
  check: ['store', 'layer', 'tar'],
};
const DOCUMENTS = 'documents';

const GRAPH = new Map([...ALL].filter(([path]) => under(HOME)(path)));

const roomOf = (path: string): string => {
  const [room = '', file] = path.slice(HOME.length + 1).split('/');
  return file === undefined ? DOCUMENTS : room;
};

describe('architecture: runtime/image', () => {
  it('is read: its imports lead to its files, and every room is known', () => {
    assert.isAbove(GRAPH.size, 50);
    assert.include(GRAPH.get('runtime/image/store/store.ts') ?? [], 'runtime/image/store/writer.ts');
    const rooms = new Set([...GRAPH.keys()].map(roomOf));
    assert.sameMembers([...rooms], [DOCUMENTS, ...Object.keys(ROOMS)]);
    const inside = [...GRAPH.values()].flat().filter((path) => path.startsWith(`${HOME}/`));
    assert.isEmpty(inside.filter((path) => !GRAPH.has(path)));
  });

  for (const room of [DOCUMENTS, ...Object.keys(ROOMS)]) {
    const allowed = [room, DOCUMENTS, ...(ROOMS[room] ?? [])];
    it(`${room} imports only ${allowed.join(', ')}`, () => {
      const wrong = [...GRAPH].flatMap(([path, imports]) =>
        imports
          .filter((to) => roomOf(path) === room && to.startsWith(`${HOME}/`) && !allowed.includes(roomOf(to)))
          .map((to) => `${path} -> ${to}`),
      );
      assert.isEmpty(wrong);
    });
  }

  it('one place verifies what sources give, and nothing but the copy reads from them', () => {
    const users = (file: string): string[] =>
      [...GRAPH].filter(([, imports]) => imports.includes(`${HOME}/${file}`)).map(([path]) => path);
    assert.deepEqual(users('transfer/verified.ts'), [`${HOME}/transfer/copy.ts`]);
    assert.sameMembers(users('transfer/copy.ts'), [`${HOME}/transfer/load.ts`, `${HOME}/transfer/save.ts`]);
  });
});
