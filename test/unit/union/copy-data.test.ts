/**
 * Protects the bytes of a copy-up, whichever way they take: shared extents, the kernel's copy, or a buffer of a mebibyte
 * where the two filesystems are different ones. Every byte is told apart by its place, so none may take another's.
 */
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert } from 'chai';
import { E } from '../../../fs/sys/errno.js';
import type { native } from '../../../fs/sys/native.js';
import { copyData, copyRange } from '../../../fs/union/layers/copy-data.js';
import { refusal, tampering } from '../../support/sys/tampering.js';

const MIB = 1024 * 1024;
const BLOCK = 4096;

/** Bytes that differ from those of every other place within a file. */
function bytes(from: number, to: number): Buffer {
  const content = Buffer.alloc(to - from);
  for (let at = 0; at < content.length; at += 4) {
    content.writeUInt32LE(((from + at) * 2654435761) >>> 0, Math.min(at, content.length - 4));
  }
  return content;
}

/** What a file holds: ranges of data, with holes between them, and its length. */
interface Content {
  readonly title: string;
  readonly length: number;
  readonly data: readonly (readonly [from: number, to: number])[];
}

const CONTENTS: readonly Content[] = [
  { title: 'one block', length: BLOCK, data: [[0, BLOCK]] },
  { title: 'one byte less than the buffer', length: MIB - 4, data: [[0, MIB - 4]] },
  { title: 'exactly the buffer', length: MIB, data: [[0, MIB]] },
  { title: 'a little more than the buffer', length: MIB + 8, data: [[0, MIB + 8]] },
  { title: 'five buffers and a bit', length: 5 * MIB + 12, data: [[0, 5 * MIB + 12]] },
  { title: 'a hole first', length: 4 * MIB, data: [[3 * MIB, 4 * MIB]] },
  { title: 'a hole last', length: 9 * MIB, data: [[0, 2 * MIB + BLOCK]] },
  {
    title: 'holes between pieces of several buffers',
    length: 16 * MIB,
    data: [
      [BLOCK, 3 * MIB],
      [8 * MIB, 8 * MIB + BLOCK],
      [12 * MIB, 14 * MIB + BLOCK],
    ],
  },
  { title: 'nothing but a hole', length: 3 * MIB, data: [] },
];

/** How the kernel refuses to copy by itself, and how far it comes before. */
const WAYS = {
  'between the filesystems of TMPDIR and memory': undefined,
  'within a filesystem': undefined,
  'where the kernel refuses to copy (EXDEV)': E.EXDEV,
  'where the filesystem does (EOPNOTSUPP)': E.EOPNOTSUPP,
  'where the kernel is old (ENOSYS)': E.ENOSYS,
} as const;

describe('union/copy-data', () => {
  let disk: string;
  let memory: string;
  before(() => {
    disk = mkdtempSync(join(tmpdir(), 'unionfs-copy-'));
    memory = mkdtempSync('/dev/shm/unionfs-copy-');
  });
  after(() => {
    for (const directory of [disk, memory]) rmSync(directory, { recursive: true });
  });

  function source(directory: string, { length, data }: Content): number {
    const fd = openSync(join(directory, 'from'), 'w+');
    for (const [from, to] of data) writeSync(fd, bytes(from, to), 0, to - from, from);
    ftruncateSync(fd, length);
    return fd;
  }

  function expected({ data }: Content, size: number): Buffer {
    const whole = Buffer.alloc(size);
    for (const [from, to] of data)
      bytes(from, to).copy(whole, from, 0, Math.max(0, Math.min(to, size) - from));
    return whole;
  }

  /** What the copy holds, and how many bytes it takes on its disk. */
  function copied(content: Content, size: number, way: keyof typeof WAYS): { data: Buffer; disk: number } {
    const from = source(way.startsWith('between') ? memory : disk, content);
    const path = join(disk, 'to');
    const to = openSync(path, 'w+');
    const refused = WAYS[way];
    try {
      refusing(refused, () => copyData(from, to, size, content.length));
      return { data: readFileSync(path), disk: statSync(path).blocks * 512 };
    } finally {
      closeSync(from);
      closeSync(to);
    }
  }

  for (const way of Object.keys(WAYS) as (keyof typeof WAYS)[]) {
    describe(way, () => {
      for (const content of CONTENTS) {
        it(content.title, () => {
          const { data, disk: used } = copied(content, content.length, way);
          assert.isTrue(data.equals(expected(content, content.length)), 'every byte in its place');
          const filled = content.data.reduce((sum, [from, to]) => sum + to - from, 0);
          assert.isAtMost(used, filled + content.data.length * 16 * BLOCK, 'holes stay holes');
        });
      }

      it('the part that a truncation leaves', () => {
        const content = CONTENTS[4] as Content;
        for (const size of [0, 1, MIB, 2 * MIB + 1]) {
          const { data } = copied(content, size, way);
          assert.isTrue(data.equals(expected(content, content.length).subarray(0, size)), `${size} bytes`);
        }
      });
    });
  }

  it('a kernel that stops halfway is followed by the buffer, from there on', () => {
    const content: Content = { title: '', length: 4 * MIB, data: [[0, 4 * MIB]] };
    const from = source(disk, content);
    const path = join(disk, 'to');
    const to = openSync(path, 'w+');
    let calls = 0;
    const halfway = {
      copy_file_range:
        (original: typeof native.copy_file_range): typeof native.copy_file_range =>
        (fdIn, offIn, fdOut, offOut, length, flags) =>
          calls++ === 0 ? original(fdIn, offIn, fdOut, offOut, Math.min(length, MIB + 4), flags) : 0,
    };
    tampering(halfway, () => copyRange(from, to, 0, 4 * MIB));
    closeSync(from);
    closeSync(to);
    assert.equal(calls, 2);
    assert.isTrue(readFileSync(path).equals(bytes(0, 4 * MIB)));
  });

  it('short writes are continued', () => {
    const content: Content = { title: '', length: 2 * MIB, data: [[0, 2 * MIB]] };
    const from = source(disk, content);
    const path = join(disk, 'to');
    const to = openSync(path, 'w+');
    const short = {
      pwrite:
        (original: typeof native.pwrite): typeof native.pwrite =>
        (fd, buf, count, offset) =>
          original(fd, buf, Math.min(count, 300_000), offset),
    };
    tampering(short, () => refusing(E.EXDEV, () => copyRange(from, to, 0, 2 * MIB)));
    closeSync(from);
    closeSync(to);
    assert.isTrue(readFileSync(path).equals(bytes(0, 2 * MIB)));
  });

  it('a source that shrinks meanwhile is an error, not a shorter copy', () => {
    const from = source(disk, { title: '', length: BLOCK, data: [[0, BLOCK]] });
    const to = openSync(join(disk, 'to'), 'w+');
    try {
      assert.throws(() => copyRange(from, to, 0, 2 * BLOCK), /EIO/);
    } finally {
      closeSync(from);
      closeSync(to);
    }
  });
});

/** The kernel refuses to share extents and to copy, with an errno; undefined lets it. */
function refusing(code: number | undefined, action: () => void): void {
  const refuse = () => () => refusal(code as number);
  tampering(code === undefined ? {} : { copy_file_range: refuse, ioctlInt: refuse }, action);
}
