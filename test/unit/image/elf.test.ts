/**
 * Protects what is read of ELF files: both classes, whatever order their parts are in, and whatever a hostile file says.
 * readelf(1) is the oracle for the host's own.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { assert } from 'chai';
import { type Elf, readElf } from '../../../runtime/image/from-host/elf.js';
import { useScratch } from '../../support/image/scratch.js';

const [PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE] = [1, 2, 3, 4];
const [DT_NULL, DT_NEEDED, DT_STRTAB, DT_STRSZ, DT_RPATH, DT_RUNPATH] = [0, 1, 5, 10, 15, 29];
const MACHINE = 62;
const INTERPRETER = '/lib64/ld.so';
/** Where a loaded file's bytes are, less their offset in the file. */
const BASE = 0x400000;
const MAX_TABLE = 16 * 1024 * 1024;

type Wide = 8 | 4;

/** A file in the making: a header, and parts wherever they come to lie. */
class Image {
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
function program(
  word: Wide,
  strings: readonly string[],
  entries: (at: (text: string) => number) => readonly (readonly [number, number])[],
): Image {
  const image = new Image(word);
  image.add(Buffer.alloc(64));
  const texts = Buffer.from(`\0${strings.join('\0')}\0`);
  const at = (text: string): number => texts.indexOf(`\0${text}\0`) + 1;
  const path = Buffer.from(`${INTERPRETER}\0`);
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

const NEEDS = (at: (text: string) => number): [number, number][] => [
  [DT_NEEDED, at('libc.so.6')],
  [DT_RPATH, at('/old')],
  [DT_NEEDED, at('libm.so')],
];
const STRINGS = ['libc.so.6', '/old', 'libm.so', '/a:$ORIGIN/b::/c'];

describe('ELF files', () => {
  const scratch = useScratch();
  const read = (bytes: Buffer): Elf | undefined => {
    const path = scratch.path('elf');
    writeFileSync(path, bytes);
    return readElf(path);
  };

  for (const word of [8, 4] as const) {
    describe(`of ${word * 8} bits`, () => {
      const kind = `${word === 8 ? 2 : 1}:${MACHINE}`;

      it('tell their loader, libraries and run path', () => {
        assert.deepEqual(read(program(word, STRINGS, NEEDS).done()), {
          kind,
          interpreter: INTERPRETER,
          needed: ['libc.so.6', 'libm.so'],
          runPath: ['/old'],
        });
      });

      it('have an RPATH only without a RUNPATH', () => {
        const both = program(word, STRINGS, (at) => [...NEEDS(at), [DT_RUNPATH, at('/a:$ORIGIN/b::/c')]]);
        assert.deepEqual(read(both.done())?.runPath, ['/a', '$ORIGIN/b', '/c']);
      });

      it('end their dynamic section with DT_NULL, or with the segment', () => {
        const cut = program(word, STRINGS, (at) => [
          [DT_NEEDED, at('libm.so')],
          [DT_NULL, 0],
          [DT_NEEDED, 1],
        ]);
        assert.deepEqual(read(cut.done())?.needed, ['libm.so']);
        const open = program(word, STRINGS, (at) => [[DT_NEEDED, at('libm.so')]]);
        const dynamic = open.segments.at(-1) ?? assert.fail();
        dynamic.size -= 2 * word - 1; // DT_NULL is not complete
        assert.deepEqual(read(open.done())?.needed, ['libm.so']);
      });

      it('may have wider program headers than are known, but no narrower ones', () => {
        const wider = program(word, STRINGS, NEEDS);
        wider.entrySize += 8;
        assert.lengthOf(read(wider.done())?.needed ?? [], 2);
        const narrow = program(word, STRINGS, NEEDS);
        const bytes = narrow.done();
        const known = word === 8 ? 40 : 20;
        bytes.writeUInt16LE(known - 1, word === 8 ? 54 : 42);
        assert.deepEqual(read(bytes), { kind, needed: [], runPath: [] });
      });

      it('are read as far as the size in a program header', () => {
        const image = program(word, STRINGS, NEEDS);
        image.entrySize = word === 8 ? 40 : 20;
        assert.lengthOf(read(image.done())?.needed ?? [], 2);
      });

      it('without a dynamic section, or without strings, need nothing', () => {
        const still = new Image(word);
        still.add(Buffer.alloc(64));
        assert.deepEqual(read(still.segment(PT_LOAD, 0, 10).done()), { kind, needed: [], runPath: [] });
        const mute = new Image(word);
        mute.add(Buffer.alloc(64));
        mute.dynamic([
          [DT_NEEDED, 1],
          [DT_NULL, 0],
        ]);
        assert.deepEqual(read(mute.done()), { kind, needed: [], runPath: [] });
      });

      it('find their strings at the address that a loaded segment gives them, up to its end', () => {
        const harms: readonly [isFound: boolean, size: number, type: number][] = [
          [true, 1, PT_LOAD],
          [false, 0, PT_LOAD],
          [false, 1, PT_NOTE],
        ];
        for (const [isFound, size, type] of harms) {
          const image = program(word, STRINGS, NEEDS);
          Object.assign(image.segments[3] ?? assert.fail(), { size, type });
          assert.lengthOf(read(image.done())?.needed ?? [], isFound ? 2 : 0, `${size} ${type}`);
        }
      });

      it('that point outside the file, or to more than is read, have nothing there', () => {
        const far = word === 8 ? 2 ** 63 : 2 ** 31;
        for (const part of [{ offset: 1 << 30 }, { offset: far }, { size: 1 << 30 }, { size: far }]) {
          const image = program(word, STRINGS, NEEDS);
          Object.assign(image.segments[1] ?? assert.fail(), part);
          const found = read(image.done());
          assert.notProperty(found, 'interpreter');
          assert.lengthOf(found?.needed ?? [], 2);
        }
        const bytes = program(word, STRINGS, NEEDS).done();
        bytes.writeUInt32LE(bytes.length - 1, word === 8 ? 32 : 28);
        assert.deepEqual(read(bytes), { kind, needed: [], runPath: [] });
      });

      it('may end with the last part that is read, and with a text that has no NUL', () => {
        const image = program(word, STRINGS, NEEDS);
        const bytes = image.done();
        const path = Buffer.from('/unended');
        const end = bytes.length;
        const table = bytes.length - image.segments.length * image.entrySize;
        const entry = table + image.entrySize;
        const [offsetAt, sizeAt] = word === 8 ? [8, 32] : [4, 16];
        bytes.writeUInt32LE(end, entry + offsetAt);
        bytes.writeUInt32LE(path.length, entry + sizeAt);
        assert.equal(read(Buffer.concat([bytes, path]))?.interpreter, '/unended');
        assert.notProperty(read(Buffer.concat([bytes, path.subarray(1)])), 'interpreter');
      });
    });
  }

  it('of the other byte order, and what is none, are not read', () => {
    const bytes = program(8, STRINGS, NEEDS).done();
    const changed = (at: number, byte: number): Buffer => {
      const copy = Buffer.from(bytes);
      copy[at] = byte;
      return copy;
    };
    assert.isDefined(read(bytes));
    assert.isUndefined(read(changed(5, 2)));
    for (const at of [0, 1, 2, 3]) assert.isUndefined(read(changed(at, 0)));
    assert.isUndefined(read(bytes.subarray(0, 63)));
    assert.isUndefined(read(Buffer.alloc(0)));
    assert.isDefined(read(bytes.subarray(0, 64)));
  });

  it('are read in parts of at most 16 MiB', () => {
    for (const [size, isRead] of [
      [MAX_TABLE, true],
      [MAX_TABLE + 1, false],
    ] as const) {
      const image = program(8, STRINGS, NEEDS);
      const interpreter = image.segments[1] ?? assert.fail();
      interpreter.size = size;
      const bytes = Buffer.concat([image.done(), Buffer.alloc(size)]);
      assert.equal(read(bytes)?.interpreter, isRead ? INTERPRETER : undefined);
    }
  });

  it('of this host are read as readelf reads them', () => {
    const files = ['/bin', '/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu'].flatMap((directory) => {
      try {
        return readdirSync(directory)
          .slice(0, 20)
          .map((name) => `${directory}/${name}`);
      } catch {
        return [];
      }
    });
    const chosen = files.filter((path) => {
      try {
        return readElf(path) !== undefined;
      } catch {
        return false;
      }
    });
    assert.isAbove(chosen.length, 10);
    const said = execFileSync('readelf', ['-W', '-d', '-l', ...chosen], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
      .toString()
      .split(/^File: /m)
      .slice(1);
    for (const [at, path] of chosen.entries()) {
      const all = (pattern: RegExp): string[] =>
        [...(said[at] ?? '').matchAll(pattern)].map(([, text = '']) => text);
      const { needed, interpreter, runPath } = readElf(path) ?? assert.fail();
      assert.deepEqual(needed, all(/\(NEEDED\).*\[(.*)\]/g), path);
      assert.deepEqual(interpreter === undefined ? [] : [interpreter], all(/interpreter: (.*)\]/g), path);
      assert.deepEqual(
        runPath,
        all(/\(RU?N?PATH\).*\[(.*)\]/g).flatMap((list) => list.split(':')),
        path,
      );
    }
  });
});
