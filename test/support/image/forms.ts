/** Archives in every form that an entry can have, and what must come out: the tables of unpack.test.ts. */
import { archive, base256, bytesOf, type Fields, GNU, longName, padded, paxHeader } from './archive.js';

/** One entry, and some of what must come out of it. */
export const FORMS: readonly (readonly [
  name: string,
  bytes: () => Buffer,
  path: string,
  expected: Record<string, string>,
])[] = [
  [
    'a file',
    () => archive({ name: 'f', mode: 0o640, uid: 1, gid: 2, mtime: 3, data: 'x' }),
    'f',
    { type: 'file', mode: '640', uid: '1', gid: '2', mtime: '3000000000', size: '1' },
  ],
  [
    'set-id and sticky bits',
    () => archive({ name: 'f', mode: 0o7755, uid: 5 }),
    'f',
    { mode: '7755', uid: '5' },
  ],
  ['a v7 header', () => archive({ name: 'f', magic: '', mode: 0o600 }), 'f', { type: 'file', mode: '600' }],
  [
    'a v7 header with NUL for a type',
    () => archive({ name: 'f', magic: '', flag: '\0' }),
    'f',
    { type: 'file' },
  ],
  [
    'a v7 directory',
    () => archive({ name: 'd/', magic: '', flag: '\0', mode: 0o711 }),
    'd',
    { type: 'directory', mode: '711' },
  ],
  [
    'the contiguous type',
    () => archive({ name: 'f', flag: '7', data: 'x' }),
    'f',
    { type: 'file', size: '1' },
  ],
  [
    'numbers with spaces',
    () => archive({ name: 'f', uid: Buffer.from('   17 \0'), raw: [[100, '   644 \0']] }),
    'f',
    { uid: '15', mode: '644' },
  ],
  [
    'ids in base 256',
    () => archive({ name: 'f', uid: base256(3_000_000_000n, 8), gid: base256(2_097_152n, 8) }),
    'f',
    { uid: '3000000000', gid: '2097152' },
  ],
  [
    'a time before 1970 in base 256',
    () => archive({ name: 'f', mtime: base256(-86_400n, 12) }),
    'f',
    { mtime: '-86400000000000' },
  ],
  [
    'a time before 1970 in PAX',
    () => archive({ name: 'f', pax: { mtime: '-1.25' } }),
    'f',
    { mtime: '-1250000000' },
  ],
  [
    'nanoseconds',
    () => archive({ name: 'f', pax: { mtime: '1700000000.123456789' } }),
    'f',
    { mtime: '1700000000123456789' },
  ],
  [
    'more digits than nanoseconds',
    () => archive({ name: 'f', pax: { mtime: '1.1234567899' } }),
    'f',
    { mtime: '1123456789' },
  ],
  [
    'ids in PAX',
    () => archive({ name: 'f', pax: { uid: '4294967294', gid: '2097152' } }),
    'f',
    { uid: '4294967294', gid: '2097152' },
  ],
  ['the ustar prefix', () => archive({ name: 'f', prefix: 'a/b' }), 'a/b/f', { type: 'file' }],
  [
    'a path in PAX',
    () => archive({ name: 'x', pax: { path: `${'d'.repeat(200)}/f` } }),
    `${'d'.repeat(200)}/f`,
    { type: 'file' },
  ],
  [
    'a path that is no UTF-8',
    () => archive({ name: 'x', pax: { path: '\xff\xfe\x80' } }),
    '\xff\xfe\x80',
    { type: 'file' },
  ],
  ['a name that is no UTF-8', () => archive({ name: 'b\xe9b\xe9' }), 'b\xe9b\xe9', { type: 'file' }],
  [
    'a GNU long name',
    () => Buffer.concat([longName('L', 'n\xff'.repeat(100)), archive({ name: 'n', magic: GNU })]),
    'n\xff'.repeat(100),
    { type: 'file' },
  ],
  [
    'a GNU long link',
    () => Buffer.concat([longName('K', 't\xff'.repeat(100)), archive({ name: 'l', flag: '2', magic: GNU })]),
    'l',
    { target: 't\xff'.repeat(100) },
  ],
  [
    'a link target in PAX',
    () => archive({ name: 'l', flag: '2', pax: { linkpath: '\x80/..' } }),
    'l',
    { target: '\x80/..' },
  ],
  [
    'a size in PAX',
    () => archive({ name: 'f', data: 'abc', size: 0, pax: { size: '3' } }),
    'f',
    { size: '3' },
  ],
  [
    'a character device',
    () => archive({ name: 'null', flag: '3', mode: 0o666, major: 1, minor: 3 }),
    'null',
    { type: 'character device', mode: '666', rdev: '259' },
  ],
  [
    'a block device',
    () => archive({ name: 'b', flag: '4', major: 259, minor: 70_000 }),
    'b',
    { type: 'block device' },
  ],
  ['a fifo', () => archive({ name: 'p', flag: '6', mode: 0o622 }), 'p', { type: 'fifo', mode: '622' }],
  [
    'a symlink with its owner and time',
    () => archive({ name: 'l', flag: '2', linkName: 'x', uid: 7, mtime: 9 }),
    'l',
    { type: 'symlink', uid: '7', mtime: '9000000000' },
  ],
  [
    "a directory's time behind its contents",
    () => archive({ name: 'd', flag: '5', mode: 0o555, mtime: 5 }, { name: 'd/f' }),
    'd',
    { mode: '555', mtime: '5000000000' },
  ],
  [
    'a directory that is described after its contents',
    () => archive({ name: 'd/f' }, { name: 'd/', flag: '5', mode: 0o700, mtime: 6 }),
    'd',
    { mode: '700', mtime: '6000000000' },
  ],
  [
    'a directory that no entry describes',
    () => archive({ name: 'd/f' }),
    'd',
    { mode: '755', uid: '0', gid: '0', mtime: '0' },
  ],
  [
    'the root itself',
    () => archive({ name: './', flag: '5', mode: 0o1777, uid: 3, mtime: 8 }),
    '.',
    { mode: '1777', uid: '3', mtime: '8000000000' },
  ],
  [
    'a binary attribute',
    () => archive({ name: 'f', pax: { 'SCHILY.xattr.user.b': '\0\xff\n=\x80' } }),
    'f',
    { 'xattr user.b': '00ff0a3d80' },
  ],
  [
    'an empty attribute',
    () => archive({ name: 'f', pax: { 'SCHILY.xattr.user.e': '' } }),
    'f',
    { 'xattr user.e': '' },
  ],
  [
    'global PAX records, which mean nothing',
    () => Buffer.concat([paxHeader({ path: 'g', uid: '9' }, 'g'), archive({ name: 'f' })]),
    'f',
    { uid: '0' },
  ],
  [
    'a later entry in place of an earlier one',
    () =>
      archive(
        { name: 'x', data: 'long' },
        { name: 'x', flag: '2', linkName: 'y' },
        { name: 'x', data: 'z', mode: 0o600 },
      ),
    'x',
    { type: 'file', size: '1', mode: '600' },
  ],
  [
    'a file in place of a full directory',
    () => archive({ name: 'd/e/f' }, { name: 'd/g', flag: '2', linkName: '/' }, { name: 'd', data: 'x' }),
    'd',
    { type: 'file' },
  ],
  [
    'a directory in place of a file',
    () => archive({ name: 'd', data: 'x' }, { name: 'd', flag: '5', mode: 0o700 }),
    'd',
    { type: 'directory', mode: '700' },
  ],
  [
    'a hard link',
    () => archive({ name: 'a', data: 'x' }, { name: 'd/b', flag: '1', linkName: './a', size: 500 }),
    'd/b',
    { nlink: '2', 'same file as': 'a' },
  ],
  [
    'a hard link to an absolute name',
    () => archive({ name: 'd/a', data: 'x' }, { name: 'b', flag: '1', linkName: '/d/a' }),
    'd/a',
    { nlink: '2', 'same file as': 'b' },
  ],
  [
    'a hard link to a symlink',
    () => archive({ name: 'a', flag: '2', linkName: '/etc' }, { name: 'b', flag: '1', linkName: 'a' }),
    'b',
    { type: 'symlink', nlink: '2' },
  ],
];

const WHITEOUT = { type: 'character device', rdev: '0', mode: '0', mtime: '0' };
const OPAQUE = { type: 'directory', 'xattr trusted.overlay.opaque': '79' };
const whiteout = (name: string): Fields => ({ name });

/** Entries in any order, and what must come out. */
export const WHITEOUTS: readonly (readonly [
  name: string,
  entries: readonly Fields[],
  path: string,
  expected: Record<string, string>,
])[] = [
  ['a whiteout becomes a 0/0 device', [whiteout('.wh.x')], 'x', WHITEOUT],
  ['a whiteout in a directory that no entry describes', [whiteout('a/b/.wh.x')], 'a/b/x', WHITEOUT],
  ['twice the same whiteout', [whiteout('.wh.x'), whiteout('.wh.x')], 'x', WHITEOUT],
  [
    'a file of the layer wins over its whiteout',
    [whiteout('.wh.x'), { name: 'x', data: 'y' }],
    'x',
    { type: 'file', size: '1' },
  ],
  ['a directory with a whiteout is opaque', [whiteout('.wh.d'), { name: 'd', flag: '5' }], 'd', OPAQUE],
  ['so is one that only its contents name', [whiteout('.wh.d'), { name: 'd/f' }], 'd', OPAQUE],
  ['an opaque mark', [whiteout('d/.wh..wh..opq'), { name: 'd/f' }], 'd', OPAQUE],
  [
    'an opaque mark hides nothing of its own layer',
    [whiteout('d/.wh..wh..opq'), { name: 'd/f', data: 'x' }],
    'd/f',
    { type: 'file', size: '1' },
  ],
  [
    'a whiteout below an opaque directory',
    [whiteout('d/.wh..wh..opq'), whiteout('d/.wh.x')],
    'd/x',
    WHITEOUT,
  ],
];

const EXTENTS: readonly (readonly [number, string])[] = Array.from({ length: 60 }, (_, i) => [
  i * 100_000,
  `${i}`.padEnd(700, 'x'),
]);
export const SPARSE_SIZE = 7_000_000;
const SPARSE_DATA = EXTENTS.map(([, data]) => data).join('');
const EXTENT_LIST = EXTENTS.flatMap(([offset, data]) => [offset, data.length]);

export function sparseContents(): Buffer {
  const bytes = Buffer.alloc(SPARSE_SIZE);
  for (const [offset, data] of EXTENTS) bytes.write(data, offset, 'latin1');
  return bytes;
}

/** The same sparse file in each of GNU tar's forms; 60 pieces need three extension blocks in the old one. */
export const SPARSE: readonly (readonly [name: string, bytes: () => Buffer])[] = [
  [
    'PAX 0.0',
    () =>
      archive({
        name: 'f',
        data: SPARSE_DATA,
        pax: [
          ['GNU.sparse.size', `${SPARSE_SIZE}`],
          ['GNU.sparse.numblocks', `${EXTENTS.length}`],
          ...EXTENTS.flatMap(
            ([offset, data]) =>
              [
                ['GNU.sparse.offset', `${offset}`],
                ['GNU.sparse.numbytes', `${data.length}`],
              ] as [string, string][],
          ),
        ],
      }),
  ],
  [
    'PAX 0.1',
    () =>
      archive({
        name: 'GNUSparseFile.0/f',
        data: SPARSE_DATA,
        pax: {
          'GNU.sparse.size': `${SPARSE_SIZE}`,
          'GNU.sparse.name': 'f',
          'GNU.sparse.map': EXTENT_LIST.join(','),
        },
      }),
  ],
  [
    'PAX 1.0',
    () =>
      archive({
        name: 'GNUSparseFile.0/f',
        data: Buffer.concat([
          padded(bytesOf([EXTENTS.length, ...EXTENT_LIST, ''].join('\n'))),
          bytesOf(SPARSE_DATA),
        ]),
        pax: {
          'GNU.sparse.major': '1',
          'GNU.sparse.minor': '0',
          'GNU.sparse.name': 'f',
          'GNU.sparse.realsize': `${SPARSE_SIZE}`,
        },
      }),
  ],
];
