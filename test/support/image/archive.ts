/**
 * Tar archives written by hand, field by field: what no tar program would write, and what none of ours wrote.
 */
const BLOCK = 512;

/** Fields of a header; text is latin1. A number in octal unless it is given as raw bytes. */
export interface Fields {
  readonly name: string;
  readonly flag?: string;
  readonly mode?: number;
  readonly uid?: number | Buffer;
  readonly gid?: number | Buffer;
  readonly size?: number | Buffer;
  readonly mtime?: number | Buffer;
  readonly linkName?: string;
  readonly major?: number | Buffer;
  readonly minor?: number | Buffer;
  /** "ustar" with its version, as GNU's "ustar  ", or nothing as in v7. */
  readonly magic?: string;
  readonly prefix?: string;
  /** Bytes at other places of the header. */
  readonly raw?: readonly (readonly [offset: number, bytes: Buffer | string])[];
  readonly data?: Buffer | string;
  /** PAX records before the entry; an array keeps their order and repetitions. */
  readonly pax?: Readonly<Record<string, string>> | readonly (readonly [string, string])[];
  readonly checksum?: number;
}

export const USTAR = 'ustar\x0000';
export const GNU = 'ustar  \0';

/** A whole archive with its end. */
export const archive = (...entries: readonly Fields[]): Buffer =>
  Buffer.concat([...entries.map(entry), Buffer.alloc(2 * BLOCK)]);

/** One entry: PAX header, header, data. */
export function entry(fields: Fields): Buffer {
  const data = bytesOf(fields.data ?? '');
  const parts = [header({ size: data.length, ...fields }), padded(data)];
  if (fields.pax !== undefined) parts.unshift(paxHeader(fields.pax));
  return Buffer.concat(parts);
}

export function paxHeader(pax: NonNullable<Fields['pax']>, flag = 'x'): Buffer {
  const pairs = Array.isArray(pax) ? (pax as readonly (readonly [string, string])[]) : Object.entries(pax);
  const data = bytesOf(pairs.map(([key, value]) => record(key, value)).join(''));
  return Buffer.concat([header({ name: 'pax', flag, size: data.length }), padded(data)]);
}

/** GNU's form of a long name (flag L) or link target (flag K). */
export const longName = (flag: 'L' | 'K', text: string): Buffer =>
  entry({ name: '././@LongLink', flag, magic: GNU, data: `${text}\0` });

function record(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  const length = [1, 2, 3, 4, 5, 6, 7].find((digits) => `${rest.length + digits}`.length === digits) ?? 0;
  return `${rest.length + length}${rest}`;
}

export const bytesOf = (data: Buffer | string): Buffer =>
  typeof data === 'string' ? Buffer.from(data, 'latin1') : data;

export const padded = (data: Buffer): Buffer =>
  Buffer.concat([data, Buffer.alloc((BLOCK - (data.length % BLOCK)) % BLOCK)]);

/** Base-256, as GNU tar writes what octal digits cannot hold. */
export function base256(value: bigint, length: number): Buffer {
  const bits = BigInt(length * 8 - 1);
  const hex = (BigInt.asUintN(Number(bits), value) | (1n << bits)).toString(16).padStart(length * 2, '0');
  return Buffer.from(hex, 'hex');
}

export function header(fields: Fields): Buffer {
  const block = Buffer.alloc(BLOCK);
  const text = (value: string, at: number): number => block.write(value, at, 'latin1');
  const number = (value: number | Buffer = 0, at: number, length: number): void => {
    if (typeof value === 'number') text(`${value.toString(8).padStart(length - 1, '0')}\0`, at);
    else value.copy(block, at);
  };
  text(fields.name.slice(0, 100), 0);
  number(fields.mode ?? 0o644, 100, 8);
  number(fields.uid, 108, 8);
  number(fields.gid, 116, 8);
  number(fields.size, 124, 12);
  number(fields.mtime, 136, 12);
  text(fields.flag ?? '0', 156);
  text(fields.linkName ?? '', 157);
  text(fields.magic ?? USTAR, 257);
  if (fields.magic !== '') {
    number(fields.major, 329, 8);
    number(fields.minor, 337, 8);
  }
  text(fields.prefix ?? '', 345);
  for (const [at, bytes] of fields.raw ?? []) bytesOf(bytes).copy(block, at);
  block.fill(' ', 148, 156);
  const sum = fields.checksum ?? block.reduce((total, byte) => total + byte, 0);
  text(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}
