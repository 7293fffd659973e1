/** Protects the names of entries: what leads out is refused, what means nothing is left out, and a message is one line. */
import { assert } from 'chai';
import { UsageError } from '../../../fs/index.js';
import { quote, refusal, splitName } from '../../../runtime/image/tar/names.js';

const PATH_MAX = 4096;

describe('names of entries', () => {
  const SPLIT: readonly [name: string, parts: readonly string[]][] = [
    ['', []],
    ['/', []],
    ['.', []],
    ['./', []],
    ['a', ['a']],
    ['/a', ['a']],
    ['./a/./b//c/', ['a', 'b', 'c']],
    ['a/...', ['a', '...']],
    ['.a/b.', ['.a', 'b.']],
    ['..a/b..', ['..a', 'b..']],
    ['a\\b', ['a\\b']],
    ['a'.repeat(PATH_MAX - 1), ['a'.repeat(PATH_MAX - 1)]],
  ];
  for (const [name, parts] of SPLIT) {
    it(`${quote(name)} has the components ${JSON.stringify(parts).slice(0, 40)}`, () =>
      assert.deepEqual(splitName(name), parts));
  }

  const REFUSED: readonly [name: string, why: string][] = [
    ['a\0b', 'contains a NUL byte'],
    ['..', 'contains ".."'],
    ['a/../b', 'contains ".."'],
    ['a'.repeat(PATH_MAX), `is longer than ${PATH_MAX - 1} bytes`],
  ];
  for (const [name, why] of REFUSED) {
    it(`${quote(name)} is refused: ${why}`, () => {
      assert.throws(() => splitName(name), UsageError, `the entry ${quote(name)} ${why}`);
      assert.throws(
        () => splitName(name, 'e'),
        UsageError,
        `the entry "e" names ${quote(name)}, which ${why}`,
      );
    });
  }

  it('in a message are quoted, escaped, and cut in the middle', () => {
    assert.equal(quote('plain name'), '"plain name"');
    assert.equal(quote('a"b\\c'), '"a\\"b\\\\c"');
    assert.match(quote('\n\x1b[31m\xff'), /^"[\x20-\x7e]*"$/);
    assert.isBelow(quote('x'.repeat(10_000)).length, 300);
    assert.equal(refusal('a"', 'is odd').message, 'the entry "a\\"" is odd');
  });
});
