/**
 * Protects the choice of the rootless mode, by the facts that a command collects. The hosts are simulated, the
 * functions those that `tscr run` calls.
 */
import { assert } from 'chai';
import { fuseRefusal, modeFacts } from '../../../runtime/rootless/facts.js';
import { chooseMode, chooseStorage, USER_NAMESPACES } from '../../../runtime/rootless/mode.js';
import {
  CAPABLE_PROGRAM,
  type Changes,
  PLAIN_PROGRAM,
  PRIVATE_DEVICE,
  simulatedHost,
  statusOf,
} from '../../support/doctor/simulated-host.js';

/** By what is wanted: auto, single, keep-id, host. */
const HOSTS: readonly [string, Changes, readonly (string | undefined)[]][] = [
  ['everything', {}, ['ranges', 'one-id', 'ranges', 'root']],
  ['root', { uid: 0 }, ['root', 'one-id', 'one-id', 'root']],
  [
    'root who may make no namespace',
    { uid: 0, userNamespaces: false },
    ['root', undefined, undefined, 'root'],
  ],
  ['no user namespaces', { userNamespaces: false }, [undefined, undefined, undefined, 'root']],
  ['no unshare', { files: { '/usr/bin/unshare': undefined } }, [undefined, undefined, undefined, 'root']],
  [
    'no privilege of newuidmap',
    { files: { '/usr/bin/newuidmap': PLAIN_PROGRAM } },
    ['one-id', 'one-id', 'one-id', 'root'],
  ],
  [
    'file capabilities of newuidmap',
    { files: { '/usr/bin/newuidmap': CAPABLE_PROGRAM } },
    ['ranges', 'one-id', 'ranges', 'root'],
  ],
  ['no gids', { texts: { '/etc/subgid': 'bob:1:1\n' } }, ['one-id', 'one-id', 'one-id', 'root']],
  [
    'no new privileges',
    { texts: { '/proc/self/status': statusOf('0', 1) } },
    ['one-id', 'one-id', 'one-id', 'root'],
  ],
];

describe('rootless modes', () => {
  for (const [what, changes, rungs] of HOSTS) {
    it(`with ${what}`, () => {
      const facts = modeFacts(simulatedHost(changes));
      assert.deepEqual(
        USER_NAMESPACES.map((wanted) => chooseMode(facts, wanted)),
        [...rungs],
      );
    });
  }

  it('root asks for no trial of a user namespace', () => {
    const host = { ...simulatedHost({ uid: 0 }), run: () => assert.fail('a child') };
    assert.equal(chooseMode(modeFacts(host)), 'root');
  });

  const STORAGES: readonly [string, Changes, boolean, ReturnType<typeof chooseStorage>][] = [
    ['device and marks', {}, true, { driver: 'unionfs' }],
    ['no marks', {}, false, { driver: 'copy', because: 'store.xattrs' }],
    [
      'a closed device',
      { files: { '/dev/fuse': PRIVATE_DEVICE } },
      true,
      { driver: 'copy', because: 'fuse.device' },
    ],
    [
      'a file for a device',
      { files: { '/dev/fuse': PLAIN_PROGRAM } },
      true,
      { driver: 'copy', because: 'fuse.device' },
    ],
    [
      'a refused device',
      { openRefusals: { '/dev/fuse': 'EPERM' } },
      true,
      { driver: 'copy', because: 'fuse.device' },
    ],
  ];
  for (const [what, changes, marks, storage] of STORAGES) {
    it(`the root, with ${what}`, () => {
      const facts = { fuseRefusal: fuseRefusal(simulatedHost(changes)), marks };
      assert.deepEqual(chooseStorage({ ...facts, overlay: false }), storage);
      const instead =
        storage.because === 'fuse.device' && marks ? { ...storage, driver: 'overlay' } : storage;
      assert.deepEqual(chooseStorage({ ...facts, overlay: true }), instead, "with the kernel's overlayfs");
    });
  }
});
