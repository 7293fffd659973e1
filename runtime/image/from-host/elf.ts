/**
 * Reads the loader and the libraries that an ELF file needs.
 *
 * Rule: files are only read, never run (ldd(1) runs some), and every offset is checked against the file. Compare
 * elf(5) and the gABI's "Dynamic Section".
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { endianness } from 'node:os';

export interface Elf {
  /** Class and machine: a library fits if its kind is the same. */
  readonly kind: string;
  /** PT_INTERP: the absolute path of the loader. */
  readonly interpreter?: string;
  /** DT_NEEDED */
  readonly needed: readonly string[];
  /** DT_RUNPATH, or DT_RPATH without one; may hold $ORIGIN. */
  readonly runPath: readonly string[];
}

const MAGIC = 0x7f454c46;
const CLASS_64 = 2;
const LITTLE = 1;
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT = { NULL: 0, NEEDED: 1, STRTAB: 5, STRSZ: 10, RPATH: 15, RUNPATH: 29 } as const;
/** Bytes; more than real files have, so that a malicious header cannot cause a read of gigabytes. */
const MAX_TABLE = 16 * 1024 * 1024;

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

/** Reads the dynamic section of a file; undefined if it is not an ELF file of this machine's byte order. */
export function readElf(path: string): Elf | undefined {
  const fd = openSync(path, 'r');
  try {
    return new Reader(fd).elf();
  } finally {
    closeSync(fd);
  }
}

class Reader {
  readonly #fd: number;
  readonly #size: number;
  #wide = false;
  #little = true;

  constructor(fd: number) {
    this.#fd = fd;
    this.#size = fstatSync(fd).size;
  }

  elf(): Elf | undefined {
    const header = this.#bytes(0, 64);
    if (header === undefined || header.readUInt32BE(0) !== MAGIC) return undefined;
    this.#wide = header[4] === CLASS_64;
    this.#little = header[5] === LITTLE;
    if (this.#little !== (endianness() === 'LE')) return undefined;
    const kind = `${header[4]}:${this.#number(header, 18, 2)}`;
    const segments = this.#segments(header);
    const interpreter = this.#interpreter(segments);
    return { kind, ...(interpreter !== undefined && { interpreter }), ...this.#dynamic(segments) };
  }

  #bytes(offset: number, length: number): Buffer | undefined {
    if (length > MAX_TABLE || offset < 0 || offset + length > this.#size) return undefined;
    const bytes = Buffer.alloc(length);
    return readSync(this.#fd, bytes, 0, length, offset) === length ? bytes : undefined;
  }

  #number(bytes: Buffer, at: number, length: number): number {
    const wide = length > 4;
    if (this.#little) return wide ? Number(bytes.readBigUInt64LE(at)) : bytes.readUIntLE(at, length);
    return wide ? Number(bytes.readBigUInt64BE(at)) : bytes.readUIntBE(at, length);
  }

  /** Elf32_Phdr and Elf64_Phdr. */
  #segments(header: Buffer): Segment[] {
    const word = this.#wide ? 8 : 4;
    const start = this.#number(header, this.#wide ? 32 : 28, word);
    const entry = this.#number(header, this.#wide ? 54 : 42, 2);
    const count = this.#number(header, this.#wide ? 56 : 44, 2);
    const table = this.#bytes(start, entry * count);
    const [offset, address, size] = this.#wide ? [8, 16, 32] : [4, 8, 16];
    if (table === undefined || entry < size + word) return [];
    return Array.from({ length: count }, (_, index) => ({
      type: this.#number(table, index * entry, 4),
      offset: this.#number(table, index * entry + offset, word),
      address: this.#number(table, index * entry + address, word),
      size: this.#number(table, index * entry + size, word),
    }));
  }

  #interpreter(segments: readonly Segment[]): string | undefined {
    const segment = segments.find(({ type }) => type === PT_INTERP);
    const bytes = segment && this.#bytes(segment.offset, segment.size);
    return bytes && textAt(bytes, 0);
  }

  #dynamic(segments: readonly Segment[]): Pick<Elf, 'needed' | 'runPath'> {
    const entries = this.#entries(segments);
    const first = (tag: number): number => entries.find((entry) => entry.tag === tag)?.value ?? 0;
    const strings = this.#bytes(fileOffset(segments, first(DT.STRTAB)), first(DT.STRSZ));
    const texts = (tag: number): string[] =>
      strings === undefined
        ? []
        : entries.filter((entry) => entry.tag === tag).map(({ value }) => textAt(strings, value));
    const paths = texts(DT.RUNPATH).length > 0 ? texts(DT.RUNPATH) : texts(DT.RPATH);
    const runPath = paths.flatMap((list) => list.split(':')).filter((path) => path !== '');
    return { needed: texts(DT.NEEDED), runPath };
  }

  /** Elf32_Dyn and Elf64_Dyn, up to DT_NULL. */
  #entries(segments: readonly Segment[]): { tag: number; value: number }[] {
    const segment = segments.find(({ type }) => type === PT_DYNAMIC);
    const table = (segment && this.#bytes(segment.offset, segment.size)) ?? Buffer.alloc(0);
    const word = this.#wide ? 8 : 4;
    const entries = Array.from({ length: Math.floor(table.length / (2 * word)) }, (_, index) => ({
      tag: this.#number(table, index * 2 * word, word),
      value: this.#number(table, index * 2 * word + word, word),
    }));
    const end = entries.findIndex(({ tag }) => tag === DT.NULL);
    return end < 0 ? entries : entries.slice(0, end);
  }
}

/** Where in the file an address of the loaded program comes from. */
function fileOffset(segments: readonly Segment[], address: number): number {
  const holds = ({ type, address: start, size }: Segment): boolean =>
    type === PT_LOAD && address >= start && address < start + size;
  const segment = segments.find(holds);
  return segment === undefined ? -1 : address - segment.address + segment.offset;
}

function textAt(bytes: Buffer, at: number): string {
  const end = bytes.indexOf(0, at);
  return bytes.toString('utf8', at, end < 0 ? bytes.length : end);
}
