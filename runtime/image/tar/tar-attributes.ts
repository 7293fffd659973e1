/**
 * An entry from its header block and PAX records.
 *
 * Rules: PAX records override the block. Invalid values (negative ids, times out of range, unknown types) are
 * refused. Attributes come from SCHILY.xattr records, whose keys GNU tar writes with "%" and "=" escaped.
 */
import type { Time } from '../../../fs/sys/stat.js';
import { quote } from './names.js';
import type { EntryType, TarEntry } from './tar-entry.js';
import { HEADER_ONLY, type PaxRecords, TarError, type TarHeader } from './tar-header.js';

const TYPES: Readonly<Record<string, EntryType>> = {
  '0': 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
  '7': 'file',
  S: 'file',
};
export const XATTR = 'SCHILY.xattr.';
const DIGITS = /^\d+$/;
const MODE_MASK = 0o7777;
/** chown(2) takes -1 as "no change". */
const NO_ID = 2 ** 32 - 1;
export const NANOSECONDS = 1_000_000_000;

/**
 * @param framed name, link target and size with extended headers applied
 * @param realSize bytes of a sparse file, holes counted
 * @throws TarError
 */
export function entryOf(
  header: TarHeader,
  framed: { name: string; linkname: string; size: number },
  pax: PaxRecords,
  realSize: number | undefined,
): TarEntry {
  const name = pax['GNU.sparse.name'] ?? framed.name;
  const type = typeOf(header.flag, name);
  const stored = storedSize(framed.size, pax);
  if (HEADER_ONLY.includes(header.flag) && stored > 0) throw new TarError(`is a ${type} with data`);
  return {
    type,
    name,
    mode: header.mode & MODE_MASK,
    uid: id(pax, 'uid', header.uid),
    gid: id(pax, 'gid', header.gid),
    mtime: pax.mtime === undefined ? wholeSeconds(header.mtime) : parseTime(pax.mtime),
    size: realSize ?? stored,
    stored,
    linkName: framed.linkname,
    major: header.major,
    minor: header.minor,
    xattrs: xattrsOf(pax),
  };
}

/** Before there was a type for directories, their names ended in "/". */
function typeOf(flag: string, name: string): EntryType {
  const type = TYPES[flag];
  if (type === undefined) throw new TarError(`has the unknown type ${quote(flag)}`);
  return type === 'file' && name.endsWith('/') ? 'directory' : type;
}

function storedSize(size: number, pax: PaxRecords): number {
  const record = pax.size;
  if (record !== undefined && record !== '' && !DIGITS.test(record)) {
    throw new TarError(`has the invalid size ${quote(record)}`);
  }
  if (!Number.isSafeInteger(size)) throw new TarError(`has the invalid size ${size}`);
  return size;
}

function id(pax: PaxRecords, key: 'uid' | 'gid', fallback: number): number {
  const record = pax[key];
  const value =
    record === undefined || record === '' ? fallback : Number(DIGITS.test(record) ? record : Number.NaN);
  if (!(value >= 0 && value < NO_ID)) {
    throw new TarError(`has the invalid ${key} ${quote(record ?? `${fallback}`)}`);
  }
  return value;
}

const wholeSeconds = (seconds: number): Time => ({ seconds, nanoseconds: 0 });

/** "SECONDS.FRACTION", perhaps negative, rounded down to nanoseconds. */
export function parseTime(text: string): Time {
  const [, sign = '', whole = '', fraction = ''] = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(text) ?? [];
  if (whole === '') throw new TarError(`has the invalid time ${quote(text)}`);
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, '0'));
  if (sign === '') return { seconds: Number(whole), nanoseconds };
  if (nanoseconds === 0) return { seconds: -Number(whole), nanoseconds: 0 };
  return { seconds: -Number(whole) - 1, nanoseconds: NANOSECONDS - nanoseconds };
}

function xattrsOf(pax: PaxRecords): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (const key in pax) {
    if (!key.startsWith(XATTR)) continue;
    const name = key.slice(XATTR.length).replaceAll('%3D', '=').replaceAll('%25', '%');
    found.set(name, Buffer.from(pax[key] as string, 'latin1'));
  }
  return found;
}
