/**
 * The tar header block, read: v7, ustar, GNU and star forms, and PAX records.
 *
 * Rules: text stays bytes (latin1), numbers are exact or refused, and a directory, link or device has no data,
 * whatever its size field says (as in Go's archive/tar, which docker reads with). Compare tar(5), pax(1) "pax Header
 * Block", and readHeader in archive/tar/reader.go.
 */

export const BLOCK = 512;

/** An archive with invalid format; the reader adds the position. */
export class TarError extends Error {}

/** Offset and length of the fields of struct posix_header, oldgnu_header and star_header. */
export const FIELD = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  linkName: [157, 100],
  magic: [257, 8],
  major: [329, 8],
  minor: [337, 8],
  prefix: [345, 155],
  starPrefix: [345, 131],
  starTrailer: [508, 4],
} as const;
export const TYPE_FLAG = 156;

export type Field = keyof typeof FIELD;

export interface TarHeader {
  /** The type flag's character; "0" also for NUL. */
  readonly flag: string;
  readonly name: string;
  readonly linkName: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of data after the header. */
  readonly size: number;
  /** Seconds since 1970, perhaps negative. */
  readonly mtime: number;
  readonly major: number;
  readonly minor: number;
}

/** Types without data: link, symlink, devices, directory, fifo. */
export const HEADER_ONLY = '123456';
const DEVICES = '34';

const ZEROS = Buffer.alloc(BLOCK);
export const isZeroBlock = (block: Buffer): boolean => block.equals(ZEROS);

/** Decodes a header block. Throws `TarError` if it is invalid. */
export function decodeHeader(block: Buffer): TarHeader {
  checkSum(block);
  const flag = String.fromCharCode(block[TYPE_FLAG] || '0'.charCodeAt(0));
  const size = HEADER_ONLY.includes(flag) ? 0 : number(block, 'size');
  if (size < 0) throw new TarError(`has the negative size ${size}`);
  const device = DEVICES.includes(flag);
  return {
    flag,
    name: nameIn(block),
    linkName: text(block, 'linkName'),
    mode: number(block, 'mode'),
    uid: number(block, 'uid'),
    gid: number(block, 'gid'),
    size,
    mtime: number(block, 'mtime'),
    major: device ? number(block, 'major') : 0,
    minor: device ? number(block, 'minor') : 0,
  };
}

function checkSum(block: Buffer): void {
  const [start, length] = FIELD.checksum;
  let unsigned = length * ' '.charCodeAt(0);
  let signed = unsigned;
  for (let at = 0; at < BLOCK; at++) {
    if (at >= start && at < start + length) continue;
    const byte = block[at] as number;
    unsigned += byte;
    signed += byte < 0x80 ? byte : byte - 0x100;
  }
  const stored = number(block, 'checksum');
  if (stored !== unsigned && stored !== signed) throw new TarError('has a header with a wrong checksum');
}

/** ustar splits long names; GNU uses the place of the prefix for other things. */
function nameIn(block: Buffer): string {
  const name = text(block, 'name');
  if (!text(block, 'magic').startsWith('ustar') || block[FIELD.magic[0] + 5] !== 0) return name;
  const prefix = text(block, text(block, 'starTrailer') === 'tar' ? 'starPrefix' : 'prefix');
  return prefix === '' ? name : `${prefix}/${name}`;
}

function text(block: Buffer, field: Field): string {
  const [start, length] = FIELD[field];
  const nul = block.indexOf(0, start);
  return block.toString('latin1', start, nul < 0 ? start + length : Math.min(nul, start + length));
}

function number(block: Buffer, field: Field): number {
  const [start, length] = FIELD[field];
  return numberAt(block, start, length, field);
}

/** An octal or base-256 number (tar(5), "Numeric Extensions"). `what` names it in messages. */
export function numberAt(block: Buffer, start: number, length: number, what: string): number {
  if (((block[start] as number) & 0x80) !== 0) return base256(block.subarray(start, start + length), what);
  const digits = block.toString('latin1', start, start + length).replace(/^[ \0]+|[ \0].*$/gs, '');
  if (!/^[0-7]*$/.test(digits)) throw new TarError(`has a header whose ${what} is not a number`);
  return digits === '' ? 0 : Number.parseInt(digits, 8);
}

/** Two's complement, big-endian; the first bit only says that this is not octal. */
function base256(bytes: Buffer, what: string): number {
  const copy = Buffer.from(bytes);
  const isNegative = ((copy[0] as number) & 0x40) !== 0;
  copy[0] = isNegative ? (copy[0] as number) | 0x80 : (copy[0] as number) & 0x7f;
  const value = BigInt.asIntN(copy.length * 8, BigInt(`0x${copy.toString('hex')}`));
  const exact = Number(value);
  if (!Number.isSafeInteger(exact)) throw new TarError(`has a header whose ${what} is out of range`);
  return exact;
}

/** PAX records by key, each value one character per byte. */
export interface PaxRecords {
  readonly [key: string]: string | undefined;
  readonly mtime?: string;
  readonly size?: string;
}

/** GNU sparse format 0.0 repeats these keys; their values are collected as format 0.1 writes them. */
const SPARSE_PAIR = ['GNU.sparse.offset', 'GNU.sparse.numbytes'];
export const SPARSE_MAP = 'GNU.sparse.map';

/** Decodes "LENGTH KEY=VALUE\n" records. Throws `TarError` if they are damaged. */
export function decodePax(bytes: Buffer): PaxRecords {
  const records: Record<string, string> = Object.create(null);
  const sparse: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(' ', at);
    const digits = bytes.toString('latin1', at, Math.max(space, at));
    const end = at + Number(digits);
    const equals = bytes.indexOf('=', space);
    const fits = /^\d+$/.test(digits) && end <= bytes.length && equals > space && equals < end;
    if (!fits || bytes[end - 1] !== '\n'.charCodeAt(0)) throw new TarError('has damaged PAX records');
    const key = bytes.toString('latin1', space + 1, equals);
    const value = bytes.toString('latin1', equals + 1, end - 1);
    if (SPARSE_PAIR.includes(key)) sparse.push(value);
    else records[key] = value;
    at = end;
  }
  if (sparse.length > 0) records[SPARSE_MAP] = sparse.join(',');
  return records;
}
