/**
 * Protects what is read of ELF files: both classes, whatever order their parts are in, and whatever a hostile file says.
 * readelf(1) is the oracle for the host's own.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { assert } from 'chai';
import { type Elf, readElf } from '../../../runtime/image/from-host/elf.js';
import {
  DT_NEEDED,
  DT_NULL,
  DT_RPATH,
  DT_RUNPATH,
  Image,
  INTERPRETER,
  MACHINE,
  PT_LOAD,
  PT_NOTE,
  program,
} from '../../support/image/elf-image.js';
import { useScratch } from '../../support/image/scratch.js';

const MAX_TABLE = 16 * 1024 * 1024;

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
