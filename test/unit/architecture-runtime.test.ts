/**
 * Protects the directions inside runtime/: each room imports only rooms below it, types too, so that images know nothing
 * of containers, and what a host allows is asked in one place. Circles: `architecture.test.ts`.
 */
import { dirname, relative } from 'node:path';
import { assert } from 'chai';
import { GRAPH, isSource } from '../support/imports.js';

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
            .filter(
              (name) => isSource(name) && !name.startsWith('fs/') && ![room, ...below].includes(roomOf(name)),
            )
            .map((name) => `${path} -> ${name}`),
        );
      assert.isEmpty(wrong);
    });
  }
});
