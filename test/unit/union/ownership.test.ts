/**
 * Protects how owners are translated and kept: ranges both ways, the attribute's format as containers/storage has it, and
 * that nothing else than that format is ever believed.
 */
import { assert } from 'chai';
import fc from 'fast-check';
import { ownershipOf } from '../../../cli/unionfs/ownership.js';
import { type Ownership, UsageError } from '../../../fs/index.js';
import { S } from '../../../fs/sys/constants.js';
import { E, Errno } from '../../../fs/sys/errno.js';
import {
  diskMode,
  diskOwner,
  formatOverride,
  keepingXattr,
  modeAfterChown,
  OVERFLOW_ID,
  type Override,
  parseIdRanges,
  parseOverride,
  shownOwner,
  squashes,
} from '../../../fs/union/owners/id-mapping.js';

const ROOTLESS = ':0:1000:1:1:110000:65536';

describe('union/ownership: id ranges', () => {
  const ranges = parseIdRanges(ROOTLESS);

  const TRANSLATED: readonly [disk: number, shown: number][] = [
    [0, 1000],
    [1, 110_000],
    [65_536, 175_535],
  ];
  for (const [disk, shown] of TRANSLATED) {
    it(`${disk} on disk is shown as ${shown}, and the other way round`, () => {
      const ownership = { uids: ranges, gids: ranges };
      assert.deepEqual(shownOwner(ownership, { uid: disk, gid: disk }), { uid: shown, gid: shown });
      assert.deepEqual(diskOwner(ownership, { uid: shown, gid: shown }), { uid: disk, gid: disk });
    });
  }

  it('what is outside of them is the overflow id, and without any ids stay', () => {
    const owner = { uid: 65_537, gid: 65_537 };
    assert.deepEqual(shownOwner({ uids: ranges }, owner), { uid: OVERFLOW_ID, gid: 65_537 });
    assert.deepEqual(diskOwner({ gids: ranges }, { uid: 5, gid: 5 }), { uid: 5, gid: OVERFLOW_ID });
  });

  it('come back as they went for every id that is shown', () => {
    const id = fc.integer({ min: 0, max: 200_000 });
    fc.assert(
      fc.property(id, (uid) => {
        const shown = shownOwner({ uids: ranges }, { uid, gid: 0 });
        const back = diskOwner({ uids: ranges }, shown);
        return shown.uid === OVERFLOW_ID || back.uid === uid;
      }),
    );
  });

  it('without any options owners are on disk as they are in the mount', () => {
    assert.deepEqual(diskOwner(undefined, { uid: 5, gid: 6 }), { uid: 5, gid: 6 });
  });

  it('the greatest number that counts is that of an id', () => {
    assert.deepEqual(parseIdRanges('0:4294967295:1'), [{ disk: 0, shown: 2 ** 32 - 1, length: 1 }]);
  });

  const REFUSED = ['', ':', '0:1000', '0:1000:1:1', 'a:0:1', '0:-1:1', '0:0:1,1:1:1', '0:0:99999999999'];
  for (const text of [...REFUSED, '0:4294967296:1', '0:00000000001:1', '0x1:0:1', '1 :0:1', '0:0:1x']) {
    it(`"${text}" is refused`, () => assert.throws(() => parseIdRanges(text), UsageError, `"${text}"`));
  }
});

describe('union/ownership: options', () => {
  const OPTIONS: readonly [options: Record<string, string | undefined>, ownership: Ownership | undefined][] =
    [
      [{ volatile: undefined }, undefined],
      [{ squash_to_root: undefined }, { squashUid: 0, squashGid: 0 }],
      [
        { squash_to_root: undefined, squash_to_gid: '7' },
        { squashUid: 0, squashGid: 7 },
      ],
      [{ squash_to_uid: '7' }, { squashUid: 7 }],
      [{ xattr_permissions: '0' }, {}],
      [{ xattr_permissions: '1' }, { keep: 'privileged' }],
      [
        { xattr_permissions: '2', uidmapping: '0:5:1' },
        { keep: 'user', uids: [{ disk: 0, shown: 5, length: 1 }] },
      ],
    ];
  for (const [options, ownership] of OPTIONS) {
    it(`${JSON.stringify(options)} means ${JSON.stringify(ownership)}`, () => {
      assert.deepEqual(ownershipOf(new Map(Object.entries(options))), ownership);
    });
  }

  it('squashing means that owners on disk do not matter', () => {
    const cases: readonly [Ownership | undefined, boolean][] = [
      [undefined, false],
      [{}, false],
      [{ uids: [] }, false],
      [{ squashUid: 0 }, true],
      [{ squashGid: 0 }, true],
      [{ squashUid: 7, squashGid: 7 }, true],
    ];
    for (const [ownership, expected] of cases)
      assert.equal(squashes(ownership), expected, JSON.stringify(ownership));
    assert.deepEqual(shownOwner({ squashUid: 7, squashGid: 8, uids: [] }, { uid: 1, gid: 2 }), {
      uid: 7,
      gid: 8,
    });
  });

  it('owners are kept in the attribute that fuse-overlayfs and containers/storage have for it', () => {
    assert.equal(keepingXattr('privileged'), 'security.fuseoverlayfs.override_stat');
    assert.equal(keepingXattr('user'), 'user.containers.override_stat');
  });

  for (const [name, value] of [
    ['xattr_permissions', '3'],
    ['squash_to_uid', '-1'],
    ['squash_to_gid', '4294967295'],
  ] as const) {
    it(`"${name}=${value}" is refused`, () => {
      assert.throws(
        () => ownershipOf(new Map([[name, value]])),
        UsageError,
        `"${value}" for option "-o ${name}"`,
      );
    });
  }
});

const plain = { rdevMajor: 0, rdevMinor: 0 };

/** Values as containers/storage writes them (TestFormatContainersOverrideXattrDevice has the same). */
const WRITTEN: readonly [value: string, inode: number, override: Override][] = [
  ['1000:1000:0755:dir', S.IFDIR, { uid: 1000, gid: 1000, mode: S.IFDIR | 0o755, ...plain }],
  ['1000:1001:4711:file', S.IFREG, { uid: 1000, gid: 1001, mode: S.IFREG | 0o4711, ...plain }],
  ['0:0:0777:symlink', S.IFREG, { uid: 0, gid: 0, mode: S.IFLNK | 0o777, ...plain }],
  ['0:0:0600:pipe', S.IFREG, { uid: 0, gid: 0, mode: S.IFIFO | 0o600, ...plain }],
  ['0:0:0600:socket', S.IFREG, { uid: 0, gid: 0, mode: S.IFSOCK | 0o600, ...plain }],
  ['0:6:0660:block-10-20', S.IFREG, { uid: 0, gid: 6, mode: S.IFBLK | 0o660, rdevMajor: 10, rdevMinor: 20 }],
  ['0:0:0666:char-1-3', S.IFREG, { uid: 0, gid: 0, mode: S.IFCHR | 0o666, rdevMajor: 1, rdevMinor: 3 }],
  ['0:0:0666:char-1-0', S.IFREG, { uid: 0, gid: 0, mode: S.IFCHR | 0o666, rdevMajor: 1, rdevMinor: 0 }],
  ['0:0:0666:char-0-1', S.IFREG, { uid: 0, gid: 0, mode: S.IFCHR | 0o666, rdevMajor: 0, rdevMinor: 1 }],
  ['0:0:0666:block-0-0', S.IFREG, { uid: 0, gid: 0, mode: S.IFBLK | 0o666, rdevMajor: 0, rdevMinor: 0 }],
  [
    '0:0:0666:char-4095-1048575',
    S.IFREG,
    { uid: 0, gid: 0, mode: S.IFCHR | 0o666, rdevMajor: 4095, rdevMinor: 1_048_575 },
  ],
];

/** What fuse-overlayfs wrote at some time. */
const READ: readonly [value: string, inode: number, override: Override][] = [
  ['5:6:644', S.IFREG, { uid: 5, gid: 6, mode: S.IFREG | 0o644, ...plain }],
  ['0:0:100755', S.IFREG, { uid: 0, gid: 0, mode: S.IFREG | 0o755, ...plain }],
  [
    '-2147483648:4294967294:555',
    S.IFDIR,
    { uid: 2 ** 31, gid: 2 ** 32 - 2, mode: S.IFDIR | 0o555, ...plain },
  ],
  ['-2:-2:555', S.IFDIR, { uid: 2 ** 32 - 2, gid: 2 ** 32 - 2, mode: S.IFDIR | 0o555, ...plain }],
];

const HOSTILE: readonly [value: string, inode: number][] = [
  ['', S.IFREG],
  ['0:0', S.IFREG],
  ['0:0:', S.IFREG],
  ['0:0:855', S.IFREG],
  ['0:0:0755:', S.IFREG],
  ['0:0:0755:door', S.IFREG],
  ['0:0:0755:dir', S.IFREG],
  ['0:0:0755:file', S.IFDIR],
  ['0:0:0755:file-1-3', S.IFREG],
  ['0:0:0755:char', S.IFREG],
  ['0:0:0755:char-0-0', S.IFREG],
  ['0:0:0755:char-4096-0', S.IFREG],
  ['0:0:0755:char-1--3', S.IFREG],
  ['0:0:0755:char-1-1048576', S.IFREG],
  ['0:0:0755:block-4096-1', S.IFREG],
  ['-1:0:0755', S.IFREG],
  ['0:-1:0755', S.IFREG],
  ['-2147483649:0:0755', S.IFREG],
  ['0:4294967295:0755', S.IFREG],
  ['4294967296:0:0755', S.IFREG],
  ['9999999999:0:0755', S.IFREG],
  [' 0:0:0755', S.IFREG],
  ['0:0:0755\n', S.IFREG],
  ['0:0:0755\0', S.IFREG],
  ['\xff:0:0755', S.IFREG],
];

describe('union/ownership: the attribute', () => {
  for (const [value, inode, override] of WRITTEN) {
    it(`"${value}" is written and read`, () => {
      assert.strictEqual(formatOverride(override).toString(), value);
      assert.deepEqual(parseOverride(Buffer.from(value), inode), override);
    });
  }

  for (const [value, inode, override] of READ) {
    it(`"${value}" is read`, () => assert.deepEqual(parseOverride(Buffer.from(value), inode), override));
  }

  for (const [value, inode] of HOSTILE) {
    it(`${JSON.stringify(value)} of 0${inode.toString(8)} is EIO`, () => {
      const error = catching(() => parseOverride(Buffer.from(value, 'latin1'), inode));
      assert.strictEqual(error.code, E.EIO);
    });
  }

  it('never makes anything else of any bytes than an error or what formats back', () => {
    const piece = fc.constantFrom('0', '5', ':', '-', '7777', 'char', 'block', 'file', 'pipe', '-1-3', 'x');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 9 }), (pieces) => {
        let override: Override;
        try {
          override = parseOverride(Buffer.from(pieces.join('')), S.IFREG);
        } catch (error) {
          return error instanceof Errno;
        }
        assert.deepEqual(parseOverride(formatOverride(override), S.IFREG), override);
        return true;
      }),
      { numRuns: 2000 },
    );
  });
});

function catching(attempt: () => unknown): Errno {
  try {
    attempt();
  } catch (error) {
    if (error instanceof Errno) return error;
    throw error;
  }
  return assert.fail('nothing was thrown');
}

describe('union/ownership: modes', () => {
  const ON_DISK: readonly [shown: number, disk: number][] = [
    [S.IFREG | 0o4755, 0o755],
    [S.IFREG | 0o000, 0o600],
    [S.IFREG | 0o666, 0o644],
    [S.IFDIR | 0o1777, 0o755],
    [S.IFDIR | 0o000, 0o700],
    [S.IFCHR | 0o666, 0o600],
    [S.IFLNK | 0o777, 0o600],
  ];
  for (const [shown, disk] of ON_DISK) {
    it(`0${shown.toString(8)} is 0${disk.toString(8)} on disk: no set-id bit, nobody else writes`, () => {
      assert.strictEqual(diskMode(shown), disk);
    });
  }

  const CHOWNED: readonly [before: number, after: number][] = [
    [S.IFREG | 0o6755, S.IFREG | 0o755],
    [S.IFREG | 0o6745, S.IFREG | 0o2745],
    [S.IFDIR | 0o6755, S.IFDIR | 0o6755],
  ];
  for (const [before, after] of CHOWNED) {
    it(`0${before.toString(8)} is 0${after.toString(8)} after chown`, () => {
      assert.strictEqual(modeAfterChown(before), after);
    });
  }
});
