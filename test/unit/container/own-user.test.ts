/** Protects the lines that give a user who keeps his id a name in the container, whatever the image's files are. */
import { assert } from 'chai';
import { type OwnUser, withOwnUser } from '../../../runtime/container/spec/own-user.js';

const JO: OwnUser = { uid: 1000, gid: 1001, name: 'jo', groupName: 'team', home: '/home/jo' };
const ROOT = 'root:x:0:0:root:/root:/bin/bash\n';

type Case = readonly [
  what: string,
  user: OwnUser,
  before: readonly [passwd: string, group: string],
  after: readonly [passwd: string, group: string],
];

const CASES: readonly Case[] = [
  [
    'is added to both',
    JO,
    [ROOT, 'root:x:0:\n'],
    [`${ROOT}jo:*:1000:1001::/home/jo:/bin/sh\n`, 'root:x:0:\nteam:x:1001:jo\n'],
  ],
  ['makes files that are missing', JO, ['', ''], ['jo:*:1000:1001::/home/jo:/bin/sh\n', 'team:x:1001:jo\n']],
  [
    'begins a line of its own',
    JO,
    [ROOT.trimEnd(), 'root:x:0:'],
    [`${ROOT}jo:*:1000:1001::/home/jo:/bin/sh\n`, 'root:x:0:\nteam:x:1001:jo\n'],
  ],
  [
    'is who the image says',
    JO,
    ['app:x:1000:5::/app:/bin/ash\n', 'apps:x:1001:\n'],
    ['app:x:1000:5::/app:/bin/ash\n', 'apps:x:1001:\n'],
  ],
  [
    'has a number where the name is taken',
    JO,
    ['jo:x:7:7:::\n', 'team:x:7:\n'],
    ['jo:x:7:7:::\n1000:*:1000:1001::/home/jo:/bin/sh\n', 'team:x:7:\n1001:x:1001:1000\n'],
  ],
  [
    'has a number where the host knows no name',
    { ...JO, name: undefined, groupName: undefined },
    ['', ''],
    ['1000:*:1000:1001::/home/jo:/bin/sh\n', '1001:x:1001:1000\n'],
  ],
  [
    'adds no more than one line, whatever he is called',
    { ...JO, name: 'jo:x:0', groupName: '', home: '/home\nroot2:x:0:0::/:/bin/sh' },
    ['', ''],
    ['1000:*:1000:1001::/:/bin/sh\n', '1001:x:1001:1000\n'],
  ],
];

describe('container: a user who keeps his id', () => {
  for (const [what, user, [passwd, group], [passwdAfter, groupAfter]] of CASES) {
    it(what, () => {
      assert.deepEqual(withOwnUser({ passwd, group }, user), { passwd: passwdAfter, group: groupAfter });
    });
  }
});
