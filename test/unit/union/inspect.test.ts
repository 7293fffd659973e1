/**
 * Protects what a mount tells about itself: it comes in chunks that join to one picture, taken when the first is asked for,
 * and no other name, by whatever it begins with, is answered.
 */
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert } from 'chai';
import { inspectChunk, readInspection } from '../../../fs/union/operations/self-description.js';

const NAME = 'system.unionfs.inspect.';
const MOST = 60_000;

/** All chunks of a picture, as who reads them gets them. */
function chunks(describe: () => unknown): Buffer[] {
  const found: Buffer[] = [];
  for (let index = 0; ; index++) {
    const chunk = inspectChunk(NAME + index, describe) ?? assert.fail(`no chunk ${index}`);
    if (chunk.length === 0) return found;
    found.push(Buffer.from(chunk));
  }
}

const text = (length: number): string => 'x'.repeat(length - 2); // two quotation marks around it

describe('union/inspect: chunks', () => {
  for (const [length, count] of [
    [10, 1],
    [MOST - 1, 1],
    [MOST, 1],
    [MOST + 1, 2],
    [3 * MOST, 3],
    [3 * MOST + 7, 4],
  ] as const) {
    it(`of ${length} bytes are ${count}, and join to all of them`, () => {
      const found = chunks(() => text(length));
      assert.lengthOf(found, count);
      for (const chunk of found) assert.isAtMost(chunk.length, MOST);
      assert.equal(JSON.parse(Buffer.concat(found).toString()), text(length));
    });
  }

  it('are of the picture that was taken with the first', () => {
    const pictures = [text(MOST + 5), text(MOST + 9)];
    let taken = 0;
    const describe = (): unknown => pictures[taken++];
    const first = inspectChunk(`${NAME}0`, describe)?.length ?? 0;
    const second = inspectChunk(`${NAME}1`, describe)?.length ?? 0;
    assert.deepEqual([first + second, taken], [MOST + 5, 1]);
    inspectChunk(`${NAME}0`, describe);
    assert.equal(taken, 2);
  });

  for (const name of ['', '-1', '1.5', 'x', '1e1', '0x0', ' 0', '0 ', '1234567890']) {
    it(`"${name}" is the number of none`, () => {
      assert.isUndefined(inspectChunk(NAME + name, () => 'asked'));
    });
  }

  it('have no other name', () => {
    for (const name of ['user.x', 'system.unionfs.inspect', 'system.unionfs.other.0', `x${NAME}0`, '0'])
      assert.isUndefined(inspectChunk(name, () => 'asked'));
  });

  it('a directory that is no mount of ours has none', () => {
    const path = mkdtempSync(join(tmpdir(), 'unionfs-inspect-'));
    const fd = openSync(path, 'r');
    try {
      assert.isUndefined(readInspection(fd));
    } finally {
      closeSync(fd);
      rmSync(path, { recursive: true });
    }
  });
});
