/**
 * Writing a tar archive: ustar headers, with PAX records for what they cannot hold.
 *
 * Rules: the same entries give the same bytes, so names of users and of PAX headers are fixed and records are sorted.
 * Text is written byte by byte. Framing is only padding, so no library is needed. Compare pax(1) "pax Header Block" and
 * archive/tar/writer.go.
 */
import { Readable } from 'node:stream';
import type { Time } from '../../../fs/sys/stat.js';
import { NANOSECONDS, XATTR } from './tar-attributes.js';
import type { EntryType, TarEntry } from './tar-entry.js';
import { BLOCK, FIELD, type Field, TYPE_FLAG } from './tar-header.js';

/** An entry and the bytes of its file, as many as its size says. */
export interface Item {
  readonly entry: TarEntry;
  readonly data?: Iterable<Buffer>;
}

const FLAGS: Readonly<Record<EntryType, string>> = {
  file: '0',
  link: '1',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};
const PAX_FLAG = 'x';
const PAX_NAME = '././@PaxHeader';
const PAX_MODE = 0o644;
const END = Buffer.alloc(2 * BLOCK);
const NOT_ASCII = /[^\0-\x7f]/;
/** Small pieces are joined to chunks of about this many bytes. */
const CHUNK = 64 * 1024;

/** The archive as a stream, generated on demand. */
export function tarStream(items: Iterable<Item>): Readable {
  return Readable.from(inChunks(tarPieces(items)), { objectMode: false, highWaterMark: CHUNK });
}

function* tarPieces(items: Iterable<Item>): Generator<Buffer> {
  for (const { entry, data } of items) {
    yield encodeEntry(entry);
    if (data === undefined) continue;
    yield* data;
    yield padding(entry.size);
  }
  yield END;
}

const padding = (size: number): Buffer => END.subarray(0, (BLOCK - (size % BLOCK)) % BLOCK);

function* inChunks(pieces: Iterable<Buffer>): Generator<Buffer> {
  let held: Buffer[] = [];
  let length = 0;
  for (const piece of pieces) {
    held.push(piece);
    length += piece.length;
    if (length < CHUNK) continue;
    yield Buffer.concat(held, length);
    held = [];
    length = 0;
  }
  if (length > 0) yield Buffer.concat(held, length);
}

/** The header of an entry, its PAX header before it if it needs one. */
export function encodeEntry(entry: TarEntry): Buffer {
  const block = new HeaderBlock(FLAGS[entry.type]);
  block.name(entry.name);
  block.linkName(entry.linkName);
  block.number('mode', entry.mode);
  block.number('uid', entry.uid);
  block.number('gid', entry.gid);
  block.number('size', entry.size);
  block.time(entry.mtime);
  block.number('major', entry.major);
  block.number('minor', entry.minor);
  for (const [name, value] of entry.xattrs) {
    const key = name.replaceAll('%', '%25').replaceAll('=', '%3D');
    block.records.set(XATTR + key, value.toString('latin1'));
  }
  return Buffer.concat([paxHeader(block.records), block.finish()]);
}

/** A header with PAX records; empty if there are none. */
function paxHeader(records: ReadonlyMap<string, string>): Buffer {
  if (records.size === 0) return END.subarray(0, 0);
  const keys = [...records.keys()].sort();
  const bytes = Buffer.from(keys.map((key) => paxRecord(key, records.get(key) ?? '')).join(''), 'latin1');
  const block = new HeaderBlock(PAX_FLAG);
  block.name(PAX_NAME);
  for (const field of ['uid', 'gid', 'mtime', 'major', 'minor'] as const) block.number(field, 0);
  block.number('mode', PAX_MODE);
  block.number('size', bytes.length);
  return Buffer.concat([block.finish(), bytes, padding(bytes.length)]);
}

/** "LENGTH KEY=VALUE\n", the length counting its own digits. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length;
  while (length !== rest.length + `${length}`.length) length = rest.length + `${length}`.length;
  return length + rest;
}

/** A header block in the making; what does not fit its fields becomes a PAX record. */
class HeaderBlock {
  readonly records = new Map<string, string>();
  readonly #block = Buffer.alloc(BLOCK);

  constructor(flag: string) {
    this.#block.write(flag, TYPE_FLAG, 'latin1');
    this.#block.write('ustar\x0000', FIELD.magic[0], 'latin1');
  }

  name(name: string): void {
    if (!NOT_ASCII.test(name) && this.#splitName(name)) return;
    this.records.set('path', name);
    this.#text('name', name);
  }

  /** ustar puts leading directories of a long name into the prefix. */
  #splitName(name: string): boolean {
    const [, longest] = FIELD.name;
    if (name.length <= longest) {
      this.#text('name', name);
      return true;
    }
    const slash = name.indexOf('/', name.length - longest - 1);
    if (slash <= 0 || slash > FIELD.prefix[1] || slash === name.length - 1) return false;
    this.#text('prefix', name.slice(0, slash));
    this.#text('name', name.slice(slash + 1));
    return true;
  }

  linkName(target: string): void {
    if (NOT_ASCII.test(target) || target.length > FIELD.linkName[1]) this.records.set('linkpath', target);
    this.#text('linkName', target);
  }

  number(field: Field, value: number): void {
    const [start, length] = FIELD[field];
    const digits = value.toString(8).padStart(length - 1, '0');
    if (digits.length < length) {
      this.#block.write(`${digits}\0`, start, 'latin1');
      return;
    }
    this.records.set(field, `${value}`);
    this.number(field, 0);
  }

  time({ seconds, nanoseconds }: Time): void {
    if (seconds >= 0) this.number('mtime', seconds);
    else this.number('mtime', 0);
    if (seconds < 0 || nanoseconds > 0) this.records.set('mtime', formatTime(seconds, nanoseconds));
  }

  #text(field: Field, text: string): void {
    const [start, length] = FIELD[field];
    this.#block.write(text.slice(0, length), start, 'latin1');
  }

  finish(): Buffer {
    const [start, length] = FIELD.checksum;
    this.#block.fill(' ', start, start + length);
    const sum = this.#block.reduce((total, byte) => total + byte, 0);
    this.#block.write(`${sum.toString(8).padStart(length - 2, '0')}\0 `, start, 'latin1');
    return this.#block;
  }
}

/** Decimal seconds; the fraction counts away from zero, so that -1.5 s is two seconds less half of one. */
function formatTime(seconds: number, nanoseconds: number): string {
  const isNegative = seconds < 0;
  const borrow = isNegative && nanoseconds > 0;
  const whole = isNegative ? -seconds - (borrow ? 1 : 0) : seconds;
  const fraction = borrow ? NANOSECONDS - nanoseconds : nanoseconds;
  const decimals = `.${`${fraction}`.padStart(9, '0')}`.replace(/\.?0*$/, '');
  return `${isNegative ? '-' : ''}${whole}${decimals}`;
}
