/** Protects what an entry means: PAX records go before the header, and what cannot be meant is refused. */
import { assert } from 'chai';
import { entryOf, parseTime } from '../../../runtime/image/tar/tar-attributes.js';
import type { TarEntry } from '../../../runtime/image/tar/tar-entry.js';
import type { PaxRecords } from '../../../runtime/image/tar/tar-header.js';
import { TarError } from '../../../runtime/image/tar/tar-header.js';

const HEADER = {
  flag: '0',
  name: 'h',
  linkName: 'hl',
  mode: 0o107644,
  uid: 1,
  gid: 2,
  size: 3,
  mtime: 4,
  major: 5,
  minor: 6,
};
const FRAMED = { name: 'n', linkname: 'l', size: 7 };
const NO_ID = 2 ** 32 - 1;

interface Input {
  readonly header?: Partial<typeof HEADER>;
  readonly framed?: Partial<typeof FRAMED>;
  readonly pax?: PaxRecords;
  readonly real?: number;
}
const read = ({ header = {}, framed = {}, pax = {}, real }: Input): TarEntry =>
  entryOf({ ...HEADER, ...header }, { ...FRAMED, ...framed }, pax, real);

describe('entries of tars', () => {
  it('are the header with what frames it', () => {
    assert.deepEqual(read({}), {
      type: 'file',
      name: 'n',
      mode: 0o7644,
      uid: 1,
      gid: 2,
      mtime: { seconds: 4, nanoseconds: 0 },
      size: 7,
      stored: 7,
      linkName: 'l',
      major: 5,
      minor: 6,
      xattrs: new Map(),
    });
  });

  const TYPES: readonly [flag: string, name: string, type: string][] = [
    ['0', 'n', 'file'],
    ['7', 'n', 'file'],
    ['S', 'n', 'file'],
    ['1', 'n', 'link'],
    ['2', 'n', 'symlink'],
    ['3', 'n', 'character'],
    ['4', 'n', 'block'],
    ['5', 'n', 'directory'],
    ['6', 'n', 'fifo'],
    ['0', 'n/', 'directory'],
    ['7', 'n/', 'directory'],
    ['2', 'n/', 'symlink'],
    ['0', '/n', 'file'],
  ];
  for (const [flag, name, type] of TYPES) {
    it(`"${name}" of type ${flag} is a ${type}`, () =>
      assert.equal(read({ header: { flag }, framed: { name, size: 0 } }).type, type));
  }

  const MEANT: readonly [what: string, input: Input, entry: Partial<TarEntry>][] = [
    ['ids of records', { pax: { uid: '10', gid: '0' } }, { uid: 10, gid: 0 }],
    ['empty ids as none', { pax: { uid: '', gid: '' } }, { uid: 1, gid: 2 }],
    [
      'the largest ids',
      { pax: { uid: `${NO_ID - 1}` }, header: { gid: NO_ID - 1 } },
      { uid: NO_ID - 1, gid: NO_ID - 1 },
    ],
    ['an empty size as none', { pax: { size: '' } }, { size: 7, stored: 7 }],
    ['the size that frames it', { pax: { size: '7' } }, { size: 7, stored: 7 }],
    ['the real size of a sparse file', { real: 100 }, { size: 100, stored: 7 }],
    ['the name of a sparse file', { pax: { 'GNU.sparse.name': 's' } }, { name: 's' }],
    ['a time before 1970', { header: { mtime: -4 } }, { mtime: { seconds: -4, nanoseconds: 0 } }],
    ['a time of a record', { pax: { mtime: '9.5' } }, { mtime: { seconds: 9, nanoseconds: 500_000_000 } }],
  ];
  for (const [what, input, entry] of MEANT) it(`take ${what}`, () => assert.deepInclude(read(input), entry));

  const REFUSED: readonly [input: Input, why: string][] = [
    [{ header: { flag: 'Z' } }, 'has the unknown type "Z"'],
    [{ header: { flag: '5' } }, 'is a directory with data'],
    [{ header: { flag: '1' }, framed: { size: 1 } }, 'is a link with data'],
    [{ pax: { uid: '-1' } }, 'has the invalid uid "-1"'],
    [{ pax: { uid: `${NO_ID}` } }, `has the invalid uid "${NO_ID}"`],
    [{ pax: { gid: '1x' } }, 'has the invalid gid "1x"'],
    [{ pax: { gid: 'x1' } }, 'has the invalid gid "x1"'],
    [{ pax: { gid: '1.0' } }, 'has the invalid gid "1.0"'],
    [{ header: { uid: -1 } }, 'has the invalid uid "-1"'],
    [{ header: { gid: NO_ID } }, `has the invalid gid "${NO_ID}"`],
    [{ pax: { size: 'x' } }, 'has the invalid size "x"'],
    [{ pax: { size: '-7' } }, 'has the invalid size "-7"'],
    [{ pax: { size: '7x' } }, 'has the invalid size "7x"'],
    [{ framed: { size: Number.NaN } }, 'has the invalid size NaN'],
    [{ framed: { size: 2 ** 53 } }, 'has the invalid size 9007199254740992'],
    [{ pax: { mtime: '' } }, 'has the invalid time ""'],
    [{ pax: { mtime: 'x' } }, 'has the invalid time "x"'],
  ];
  for (const [input, why] of REFUSED)
    it(`are refused: ${why}`, () => assert.throws(() => read(input), TarError, why));

  it('have the attributes of SCHILY.xattr records, their names unescaped once', () => {
    const pax = {
      'SCHILY.xattr.user.a': 'v\xff\0',
      'SCHILY.xattr.user.%25%3D': '',
      'SCHILY.xattr.user.%253D': 'x',
      'LIBARCHIVE.xattr.user.b': 'y',
      'x.SCHILY.xattr.user.c': 'z',
      comment: 'c',
    };
    assert.deepEqual(
      [...read({ pax }).xattrs],
      [
        ['user.a', Buffer.from([0x76, 0xff, 0])],
        ['user.%=', Buffer.alloc(0)],
        ['user.%3D', Buffer.from('x')],
      ],
    );
  });

  const TIMES: readonly [text: string, seconds?: number, nanoseconds?: number][] = [
    ['0', 0, 0],
    ['12', 12, 0],
    ['12.', 12, 0],
    ['12.5', 12, 500_000_000],
    ['12.000000001', 12, 1],
    ['12.0000000019', 12, 1],
    ['-12', -12, 0],
    ['-12.0', -12, 0],
    ['-12.25', -13, 750_000_000],
    ['-0.000000001', -1, 999_999_999],
    ['999999999999999', 999_999_999_999_999, 0],
    ['9999999999999999'],
    ['+1'],
    ['.5'],
    ['1.5.5'],
    ['1.x'],
    ['1e3'],
    [' 1'],
    ['1 '],
    ['--1'],
    [''],
  ];
  for (const [text, seconds, nanoseconds] of TIMES) {
    it(`the time "${text}" is ${seconds ?? 'refused'}`, () => {
      if (seconds === undefined)
        assert.throws(() => parseTime(text), TarError, `has the invalid time "${text}"`);
      else assert.deepEqual(parseTime(text), { seconds, nanoseconds });
    });
  }
});
