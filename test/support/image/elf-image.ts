/** ELF files made by hand: a header, and parts wherever they come to lie. */

export const [PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE] = [1, 2, 3, 4];
export const [DT_NULL, DT_NEEDED, DT_STRTAB, DT_STRSZ, DT_RPATH, DT_RUNPATH] = [0, 1, 5, 10, 15, 29];
export const MACHINE = 62;
export const INTERPRETER = '/lib64/ld.so';
/** Where a loaded file's bytes are, less their offset in the file. */
const BASE = 0x400000;
export type Wide = 8 | 4;

/** A file in the making: a header, and parts wherever they come to lie. */
export class Image {
  readonly word: Wide;
  bytes: Buffer;
  readonly segments: { type: number; offset: number; address: number; size: number }[] = [];
  entrySize: number;

  constructor(word: Wide) {
    this.word = word;
    this.bytes = Buffer.alloc(word === 8 ? 64 : 52);
    this.entrySize = word === 8 ? 56 : 32;
    this.bytes.write('\x7fELF', 'latin1');
    this.bytes[4] = word === 8 ? 2 : 1;
    this.bytes[5] = 1;
    this.bytes.writeUInt16LE(MACHINE, 18);
  }

  #word(value: number): Buffer {
    const bytes = Buffer.alloc(this.word);
    if (this.word === 8) bytes.writeBigUInt64LE(BigInt(value));
    else bytes.writeUInt32LE(value);
    return bytes;
  }

  /** Appends bytes; where they are. */
  add(bytes: Buffer): number {
    const at = this.bytes.length;
    this.bytes = Buffer.concat([this.bytes, bytes]);
    return at;
  }

  segment(type: number, offset: number, size: number, address = offset + BASE): this {
    this.segments.push({ type, offset, address, size });
    return this;
  }

  dynamic(entries: readonly (readonly [number, number])[]): this {
    const table = Buffer.concat(entries.flatMap(([tag, value]) => [this.#word(tag), this.#word(value)]));
    return this.segment(PT_DYNAMIC, this.add(table), table.length);
  }

  /** Appends the program headers; the whole file, at least as long as the header of the wide class. */
  done(): Buffer {
    const wide = this.word === 8;
    const table = this.segments.map(({ type, offset, address, size }) => {
      const entry = Buffer.alloc(this.entrySize);
      const [offsetAt, addressAt, sizeAt] = wide ? [8, 16, 32] : [4, 8, 16];
      entry.writeUInt32LE(type);
      this.#word(offset).copy(entry, offsetAt);
      this.#word(address).copy(entry, addressAt);
      this.#word(size).copy(entry, sizeAt);
      return entry;
    });
    const start = this.add(Buffer.concat(table));
    this.#word(start).copy(this.bytes, wide ? 32 : 28);
    this.bytes.writeUInt16LE(this.entrySize, wide ? 54 : 42);
    this.bytes.writeUInt16LE(this.segments.length, wide ? 56 : 44);
    return this.bytes;
  }
}

/** A file with strings, segments that decide nothing before those that do, and what `entries` makes of the strings. */
export function program(
  word: Wide,
  strings: readonly string[],
  entries: (at: (text: string) => number) => readonly (readonly [number, number])[],
  loader = INTERPRETER,
): Image {
  const image = new Image(word);
  image.add(Buffer.alloc(64));
  const texts = Buffer.from(`\0${strings.join('\0')}\0`);
  const at = (text: string): number => texts.indexOf(`\0${text}\0`) + 1;
  const path = Buffer.from(`${loader}\0`);
  const [interpreter, table] = [image.add(path), image.add(texts)];
  image.segment(PT_NOTE, 0, 16).segment(PT_INTERP, interpreter, path.length);
  image.segment(PT_LOAD, 0, table, BASE * 2).segment(PT_LOAD, table, texts.length);
  return image.dynamic([
    [21, 7],
    [DT_STRTAB, table + BASE],
    [DT_STRSZ, texts.length],
    ...entries(at),
    [DT_NULL, 0],
  ]);
}
