/**
 * Protects the secret way by which owners and devices are given past the kernel: only values and names of its form count,
 * what is said comes back as it was said, and who does not know the secret asks for nothing.
 */
import { assert } from 'chai';
import fc from 'fast-check';
import { S } from '../../../fs/sys/constants.js';
import { InodeSet } from '../../../fs/union/layers/inode-set.js';
import {
  deviceName,
  newVirtualOwners,
  ownerValue,
  parseDeviceName,
  parseOwnerValue,
} from '../../../fs/union/owners/virtual-owners.js';

const KEEP = 2 ** 32 - 1;
const SECRET = 'system.unionfs.owner.5ec2e7';

describe('union/virtual owners: owners', () => {
  const VALUES: readonly [value: string, owner: { uid?: number; gid?: number } | undefined][] = [
    ['0:0', { uid: 0, gid: 0 }],
    ['1000:7', { uid: 1000, gid: 7 }],
    ['4294967294:4294967294', { uid: KEEP - 1, gid: KEEP - 1 }],
    [`${KEEP}:7`, { gid: 7 }],
    [`7:${KEEP}`, { uid: 7 }],
    [`${KEEP}:${KEEP}`, {}],
    ['', undefined],
    ['7', undefined],
    ['7:', undefined],
    [':7', undefined],
    ['7:7:7', undefined],
    ['-1:7', undefined],
    ['7:-1', undefined],
    ['a:7', undefined],
    [' 7:7', undefined],
    ['x7:7', undefined],
    ['7:7\n', undefined],
    ['7:7x', undefined],
    ['12345678901:7', undefined],
    ['7:12345678901', undefined],
    ['7:7\xff', undefined],
  ];
  for (const [value, owner] of VALUES) {
    it(`${JSON.stringify(value)} is ${JSON.stringify(owner) ?? 'none'}`, () => {
      assert.deepEqual(parseOwnerValue(Buffer.from(value, 'latin1')), owner);
    });
  }

  it('come back as they were given', () => {
    const id = fc.integer({ min: 0, max: KEEP - 1 });
    fc.assert(
      fc.property(id, id, (uid, gid) => {
        assert.deepEqual(parseOwnerValue(ownerValue(uid, gid)), { uid, gid });
      }),
    );
  });
});

describe('union/virtual owners: devices', () => {
  it('come back as they were asked for', () => {
    const number = fc.integer({ min: 0, max: 2 ** 20 - 1 });
    const type = fc.constantFrom(S.IFCHR, S.IFBLK);
    const permissions = fc.integer({ min: 0, max: 0o7777 });
    fc.assert(
      fc.property(type, permissions, number, number, (kind, bits, major, minor) => {
        const device = { mode: kind | bits, major, minor };
        assert.deepEqual(parseDeviceName(SECRET, deviceName(SECRET, device)), device);
      }),
    );
  });

  const NONE = [
    '',
    'file',
    SECRET,
    `${SECRET}:`,
    `${SECRET}:${S.IFCHR}`,
    `${SECRET}:${S.IFCHR}:1`,
    `${SECRET}:${S.IFCHR}:1:3:3`,
    `${SECRET}:${S.IFCHR}:1:3x`,
    `${SECRET}:${S.IFCHR}:-1:3`,
    `${SECRET}:${S.IFCHR}:x:3`,
    `${SECRET}:x:1:3`,
    `${SECRET}x:${S.IFCHR}:1:3`,
    `x${SECRET}:${S.IFCHR}:1:3`,
    `:${S.IFCHR}:1:3`,
    `${'x'.repeat(SECRET.length)}:${S.IFCHR}:1:3`,
    ...[S.IFREG, S.IFDIR, S.IFLNK, S.IFIFO, S.IFSOCK, 0].map((type) => `${SECRET}:${type | 0o644}:1:3`),
  ];
  for (const name of NONE) {
    it(`"${name}" asks for none`, () => assert.isUndefined(parseDeviceName(SECRET, name)));
  }
});

describe('union/virtual owners: a mount', () => {
  it('has a secret that no other has, and a set of inodes that is empty', () => {
    const [one, other] = [newVirtualOwners(), newVirtualOwners()];
    for (const { secret } of [one, other]) assert.match(secret, /^system\.unionfs\.owner\.[0-9a-f]{32}$/);
    assert.notEqual(one.secret, other.secret);
    assert.isFalse(new InodeSet(one.inodes).has(1));
    new InodeSet(one.inodes).add(1);
    assert.isTrue(new InodeSet(one.inodes).has(1));
    assert.isFalse(new InodeSet(other.inodes).has(1));
  });
});
