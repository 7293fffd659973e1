/**
 * Layers that attack: one row each, the archive and the complaint. `OUT` is a directory beside the root, as an absolute path.
 */
import {
  archive,
  base256,
  entry,
  type Fields,
  GNU,
  header,
  longName,
  paxHeader,
} from '../support/image/archive.js';

export interface Attack {
  readonly name: string;
  readonly bytes: (out: string) => Buffer;
  readonly complaint: RegExp;
}

const file = (name: string, fields: Partial<Fields> = {}): Fields => ({ name, data: 'evil', ...fields });
const symlink = (name: string, linkName: string): Fields => ({ name, flag: '2', linkName });
const link = (name: string, linkName: string): Fields => ({ name, flag: '1', linkName });
const directory = (name: string): Fields => ({ name, flag: '5', mode: 0o755 });

const row = (name: string, complaint: RegExp, ...entries: readonly Fields[]): Attack => ({
  name,
  complaint,
  bytes: () => archive(...entries),
});
const rowWith = (name: string, complaint: RegExp, entries: (out: string) => readonly Fields[]): Attack => ({
  name,
  complaint,
  bytes: (out) => archive(...entries(out)),
});
const rawRow = (name: string, complaint: RegExp, bytes: () => Buffer): Attack => ({ name, complaint, bytes });

const HUGE = 2 ** 40;
const sparse = (map: string, size = 4): Fields =>
  file('holes', { pax: { 'GNU.sparse.map': map, 'GNU.sparse.size': `${size}` } });

/** The case that takes mknod(2). */
export const DEVICE = 'a device';

/** Paths through symlinks that would lead out: inside the root they lead to `place`, which holds what was written. */
export const REDIRECTED: readonly (readonly [
  name: string,
  entries: (out: string) => readonly Fields[],
  place: (out: string) => string,
])[] = [
  ['a file, relative', () => [symlink('l', '../outside'), file('l/x')], () => 'outside/x'],
  [
    'a file, from deep down',
    () => [symlink('a/b/l', '../../../../outside'), file('a/b/l/x')],
    () => 'outside/x',
  ],
  ['a file, absolute', (out) => [symlink('l', out), file('l/x')], (out) => `${out}/x`],
  [
    'a file, by several links',
    (out) => [symlink('k', out), symlink('l', '../k/.'), file('l/x')],
    (out) => `${out}/x`,
  ],
  ['a directory', (out) => [symlink('l', out), directory('l/d')], (out) => `${out}/d`],
  [
    'a directory that a symlink replaced',
    (out) => [directory('d'), file('d/y'), symlink('d', out), file('d/x')],
    (out) => `${out}/x`,
  ],
  ['a symlink', (out) => [symlink('l', out), symlink('l/m', 'x')], (out) => `${out}/m`],
  [
    DEVICE,
    (out) => [symlink('l', out), { name: 'l/null', flag: '3', major: 1, minor: 3 }],
    (out) => `${out}/null`,
  ],
  ['a whiteout', (out) => [symlink('l', out), file('l/.wh.sentinel')], (out) => `${out}/sentinel`],
  ['an opaque mark', (out) => [symlink('l', out), file('l/.wh..wh..opq')], (out) => out],
  ['a hard link', (out) => [file('f'), symlink('l', out), link('l/h', 'f')], (out) => `${out}/h`],
  ['what a hard link leads to', (out) => [symlink('l', out), file('l/f'), link('h', 'l/f')], () => 'h'],
  [
    'a hard link to a symlink',
    (out) => [symlink('l', out), link('h', 'l'), file('h/x')],
    (out) => `${out}/x`,
  ],
];

export const ATTACKS: readonly Attack[] = [
  // names
  row('".." at the start', /"\.\.\/outside\/x" contains "\.\."/, file('../outside/x')),
  row('".." in the middle', /"a\/\.\.\/\.\.\/outside\/x" contains "\.\."/, file('a/../../outside/x')),
  row('".." that would stay inside', /"a\/\.\.\/b" contains "\.\."/, file('a/../b')),
  row('".." alone', /"\.\." contains "\.\."/, directory('..')),
  row('".." behind a leading slash', /"\/\.\.\/outside\/x" contains "\.\."/, file('/../outside/x')),
  row(
    '".." in a PAX path',
    /"\.\.\/outside\/x" contains "\.\."/,
    file('x', { pax: { path: '../outside/x' } }),
  ),
  row('".." in a sparse name', /contains "\.\."/, {
    ...sparse('0,4'),
    pax: { 'GNU.sparse.map': '0,4', 'GNU.sparse.size': '4', 'GNU.sparse.name': '../outside/x' },
  }),
  row('".." in the ustar prefix', /"\.\.\/outside\/x" contains "\.\."/, file('x', { prefix: '../outside' })),
  rawRow('".." in a GNU long name', /"\.\.\/outside\/x" contains "\.\."/, () =>
    Buffer.concat([longName('L', '../outside/x'), archive(file('x', { magic: GNU }))]),
  ),
  row('NUL in a PAX path', /"a\\x00b" contains a NUL/, file('x', { pax: { path: 'a\0b' } })),
  row('a path of 4096 bytes', /longer than 4095 bytes/, file('x', { pax: { path: 'a/'.repeat(2048) } })),
  row('a component of 256 bytes', /ENAMETOOLONG/, file('x', { pax: { path: 'a'.repeat(256) } })),
  row('control characters and colours', /"\.\.\/\\x1b\[31m\\x0a" contains "\.\."/, file('../\x1b[31m\n')),
  row('text that runs backwards', /"\.\.\/\\u\{202e\}txt" contains "\.\."/, file('../\xe2\x80\xaetxt')),
  row('a file in place of the root', /"\." replaces the root by a file/, file('.')),
  // symlinks; what is followed inside is below
  row(
    'a file through a loop of symlinks',
    /"a\/x" is below "[ab]", which is a loop of symlinks/,
    symlink('a', 'b'),
    symlink('b', './/a'),
    file('a/x'),
  ),
  row(
    'a file through a symlink to itself',
    /"a\/x" is below "a", which is a loop of symlinks/,
    symlink('a', 'a'),
    file('a/x'),
  ),
  row(
    'a file through a symlink to a file',
    /"l\/x" is below "d\/f", which is not a directory/,
    file('d/f'),
    symlink('l', 'd/f'),
    file('l/x'),
  ),
  row(
    'a directory that is made by a symlink, with the name of a whiteout',
    /"l\/x" is below "\.wh\.d", which is a whiteout/,
    symlink('l', '.wh.d/e'),
    file('l/x'),
  ),
  row(
    'a symlink to a component of 256 bytes',
    /"l\/x" cannot be unpacked: .*ENAMETOOLONG/,
    symlink('l', 'a'.repeat(90)),
    { ...symlink('l', 'x'), pax: { linkpath: 'a'.repeat(256) } },
    file('l/x'),
  ),
  row('a symlink without a target', /"l" is a symlink without a target/, symlink('l', '')),
  row('a symlink to a name with NUL', /NUL/, { ...symlink('l', 'x'), pax: { linkpath: 'a\0b' } }),
  // hard links
  row(
    'a hard link out with ".."',
    /"h" names "\.\.\/outside\/sentinel", which contains "\.\."/,
    link('h', '../outside/sentinel'),
  ),
  rowWith(
    'a hard link to an absolute name',
    /"h" is a hard link to ".*\/sentinel", which exists neither in this layer nor in those below/,
    (out) => [link('h', `${out}/sentinel`)],
  ),
  rowWith(
    'a hard link through a symlink',
    /"h" is a hard link to "l\/sentinel", which exists neither in this layer nor in those below/,
    (out) => [symlink('l', out), link('h', 'l/sentinel')],
  ),
  row(
    'a hard link to a directory',
    /"h" is a hard link to "d", which is a directory/,
    directory('d'),
    link('h', 'd'),
  ),
  row('a hard link to a whiteout', /"h" is a hard link to "gone"/, file('.wh.gone'), link('h', 'gone')),
  row('a hard link to nothing', /"h" is a hard link to ""/, link('h', '')),
  row(
    'a hard link to the directory it replaces',
    /"d" cannot be unpacked: linkat: ENOENT/,
    file('d/f'),
    link('d', 'd/f'),
  ),
  row('a file below a file', /"f\/x" is below "f", which is not a directory/, file('f'), file('f/x')),
  // whiteouts
  row('a whiteout of ".."', /"\.wh\.\.\." is a whiteout of "\.\."/, file('.wh...')),
  row('a whiteout of "."', /"d\/\.wh\.\." is a whiteout of "\."/, file('d/.wh..')),
  row('a whiteout of nothing', /"\.wh\." is a whiteout of ""/, file('.wh.')),
  row('a file in a whiteout', /"\.wh\.x\/y" is below the whiteout "\.wh\.x"/, file('.wh.x/y')),
  // bombs
  row(
    'a file larger than allowed',
    /"big" exceeds the layer's limit of 1000000 bytes; raise it with --max-unpacked/,
    {
      name: 'big',
      size: HUGE,
    },
  ),
  row('a size of petabytes in base 256', /"big" exceeds the layer's limit of/, {
    name: 'big',
    size: base256(2n ** 50n, 12),
  }),
  row('a size beyond exact numbers', /size is out of range/, { name: 'big', size: base256(2n ** 60n, 12) }),
  row('a size in a base nobody has', /size is out of range/, {
    name: 'big',
    size: Buffer.from('81ffffffffffffffffffffff', 'hex'),
  }),
  row('a size in PAX', /"big" exceeds the layer's limit of/, file('big', { pax: { size: `${HUGE}` } })),
  row(
    'many entries',
    /"f100" exceeds the layer's limit of 100 entries/,
    ...Array.from({ length: 101 }, (_, i) => file(`f${i}`)),
  ),
  row(
    'many directories that names imply',
    /exceeds the layer's limit of 100 entries/,
    file('x', { pax: { path: 'a/'.repeat(200) } }),
  ),
  row(
    'many attribute bytes',
    /exceeds the layer's limit of 1000000 bytes/,
    ...Array.from({ length: 20 }, (_, i) => ({
      ...directory(`d${i}`),
      pax: { 'SCHILY.xattr.user.a': 'x'.repeat(60_000) },
    })),
  ),
  rawRow(
    'an extended header over 4 MiB',
    /damaged: an extended header is larger than 4 MiB at its start/,
    () => archive({ name: 'pax', flag: 'x', size: 2 ** 30 }),
  ),
  // numbers
  row('a negative size', /negative size -5/, { name: 'f', size: base256(-5n, 12) }),
  row('a size that is no number', /size is not a number/, { name: 'f', size: Buffer.from('zzzz\0') }),
  row('a negative size in PAX', /damaged/, file('f', { pax: { size: '-1' } })),
  row('a uid of -1', /invalid uid "-1"/, file('f', { uid: base256(-1n, 8) })),
  row('a uid of 2^32-1', /invalid uid "4294967295"/, file('f', { pax: { uid: '4294967295' } })),
  row('a uid in hexadecimal', /invalid uid "0x10"/, file('f', { pax: { uid: '0x10' } })),
  row('a gid that is no number', /invalid gid "root"/, file('f', { pax: { gid: 'root' } })),
  row('a time that is no number', /invalid time "now"/, file('f', { pax: { mtime: 'now' } })),
  row('a device number out of range', /"dev" has the invalid device number 5000:0/, {
    name: 'dev',
    flag: '4',
    major: 5000,
  }),
  row('a symlink with data', /is a symlink with data/, {
    ...symlink('l', 'x'),
    pax: { size: '512' },
    data: 'x',
  }),
  row('a type nobody knows', /unknown type "Q"/, file('f', { flag: 'Q' })),
  // sparse files
  row('sparse pieces that overlap', /overlapping pieces/, sparse('0,3,2,1')),
  row('sparse pieces beyond the end', /does not fit/, sparse('0,2,100,2', 50)),
  row('a sparse map of more than the data', /does not fit/, sparse('0,400', 400)),
  row('a sparse map of data that is not there', /does not fit/, { ...sparse('0,4'), data: '' }),
  row('a sparse map with half a pair', /damaged sparse map/, sparse('0,2,3')),
  row('a sparse map of negative numbers', /damaged sparse map/, sparse('-5,4')),
  row(
    'a sparse map of words',
    /damaged sparse map/,
    file('f', {
      pax: { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '9' },
      data: 'many\n'.padEnd(512, '\0'),
    }),
  ),
  row(
    'a sparse map without end',
    /ends within its sparse map/,
    file('f', {
      pax: { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '9' },
      data: '7\n0\n1\n'.padEnd(512, '\0'),
    }),
  ),
  row('an old sparse map beyond the end', /does not fit/, {
    name: 'f',
    flag: 'S',
    magic: GNU,
    data: 'evil',
    raw: [
      [386, '00000000144\0'],
      [398, '00000000004\0'],
      [483, '00000000010\0'],
    ],
  }),
  // damage
  rawRow('no archive at all', /damaged at its start: it has a header/, () => Buffer.alloc(1024, 'x')),
  rawRow('a wrong checksum', /damaged at or after the entry "f": it has a header with a wrong checksum/, () =>
    Buffer.concat([entry(file('f')), header({ ...file('g'), checksum: 1 }), Buffer.alloc(1024)]),
  ),
  rawRow('an end within the data', /truncated at or after the entry "f"/, () =>
    entry(file('f', { size: 5000 })),
  ),
  rawRow('an end within a header', /truncated at or after the entry "f"/, () =>
    Buffer.concat([entry(file('f')), header(file('g')).subarray(0, 300)]),
  ),
  rawRow('damaged PAX records', /damaged PAX records/, () =>
    Buffer.concat([entry({ name: 'pax', flag: 'x', data: '999 path=x\n' }), archive(file('f'))]),
  ),
  rawRow('PAX records without length', /damaged PAX records/, () =>
    Buffer.concat([entry({ name: 'pax', flag: 'x', data: 'path=../x\n' }), archive(file('f'))]),
  ),
  rawRow('PAX records of length 0', /damaged PAX records/, () =>
    Buffer.concat([entry({ name: 'pax', flag: 'x', data: '0 path=x\n' }), archive(file('f'))]),
  ),
  rawRow('an end after a PAX header that attacks', /"\.\.\/outside\/x" contains "\.\."/, () =>
    Buffer.concat([paxHeader({ path: '../outside/x' }), archive(file('f'))]),
  ),
];
