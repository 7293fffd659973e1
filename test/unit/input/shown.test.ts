/**
 * Protects terminals, logs and readers from text of others: nothing that controls a terminal, turns the direction of
 * text or is invisible leaves as it is, and ordinary text does.
 */
import { assert } from 'chai';
import fc from 'fast-check';
import { table } from '../../../cli/terminal/output.js';
import { render } from '../../../cli/terminal/template.js';
import { quoted, shown, shownBytes, shownJson, shownLines } from '../../../fs/input/shown.js';

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const HARMFUL = /[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/u;

const SHOWN: readonly (readonly [text: string, shown: string])[] = [
  ['\x1b[31mred', '\\x1b[31mred'],
  ['\x1b]0;title\x07', '\\x1b]0;title\\x07'],
  ['a\nb\tc\rd', 'a\\x0ab\\x09c\\x0dd'],
  ['\x7f', '\\x7f'],
  ['\u009b31m', '\\u{9b}31m'],
  ['a\u202eb\u2066c', 'a\\u{202e}b\\u{2066}c'],
  ['zero\u200bwidth\ufeff', 'zero\\u{200b}width\\u{feff}'],
  ['lines\u2028\u2029', 'lines\\u{2028}\\u{2029}'],
  ['lone \ud800 surrogate', 'lone \\u{d800} surrogate'],
  ['grüße 你好 🙂 \\n "q"', 'grüße 你好 🙂 \\n "q"'],
];

/** Bytes, one character each. */
const BYTES: readonly (readonly [bytes: string, shown: string])[] = [
  ['plain', 'plain'],
  ['\xff\xfe', '\\xff\\xfe'],
  ['\xc3\xa9', 'é'],
  ['a\xc3', 'a\\xc3'],
  ['\xc2\x9b31m', '\\u{9b}31m'],
  ['\x9b31m', '\\x9b31m'],
  ['\xe2\x80\xae', '\\u{202e}'],
  ['\xc0\x9b \xe0\x80\x9b', '\\xc0\\x9b \\xe0\\x80\\x9b'],
  ['\xed\xa0\x80', '\\xed\\xa0\\x80'],
  ['\xf0\x9f\x99\x82', '🙂'],
  ['\xf4\x90\x80\x80', '\\xf4\\x90\\x80\\x80'],
];

describe('what is shown of text from outside', () => {
  for (const [text, expected] of SHOWN) {
    it(`${JSON.stringify(text)} is ${expected}`, () => assert.equal(shown(text), expected));
  }
  for (const [bytes, expected] of BYTES) {
    it(`the bytes ${JSON.stringify(bytes)} are ${expected}`, () => assert.equal(shownBytes(bytes), expected));
  }

  it('holds nothing harmful, whatever comes, and is the same when it is shown again', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
        for (const safe of [shown(text), quoted(text), shownJson(JSON.stringify(text))]) {
          assert.notMatch(safe, HARMFUL);
          assert.equal(shown(safe), safe);
        }
        assert.notMatch(shownLines(text).replace(/[\n\t]/g, ''), HARMFUL);
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const safe = shownBytes(Buffer.from(bytes).toString('latin1'));
        assert.notMatch(safe, HARMFUL);
        assert.equal(Buffer.from(safe).toString(), safe, 'it is UTF-8');
      }),
    );
  });

  it('means the same as JSON', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        assert.equal(JSON.parse(shownJson(JSON.stringify(text))), text);
      }),
    );
  });

  it('is quoted without its middle where it is long', () => {
    const text = quoted('x'.repeat(1_000_000));
    assert.isBelow(text.length, 250);
    assert.match(text, /^"x+\.\.\.x+"$/);
  });

  it('is one cell of a table, as wide as it is shown', () => {
    const lines = table(
      ['NAME', 'N'],
      [
        ['a\x1b[2J\nb', '1'],
        ['c', '2'],
      ],
    ).split('\n');
    assert.deepEqual(lines, ['NAME           N', 'a\\x1b[2J\\x0ab  1', 'c              2']);
  });

  it('is what --format fills in, but for its JSON, which has all of it', () => {
    const value = { Labels: { 'k\x1b': 'v\u009b\n' }, Name: '\x1b[31m' };
    assert.equal(render('{{.Name}}\\n{{.Labels}}', value), '\\x1b[31m\nmap[k\\x1b:v\\u{9b}\\x0a]');
    assert.equal(render('{{json .Labels}}', value), '{"k\\u001b":"v\\u009b\\n"}');
    assert.deepEqual(JSON.parse(render('json', value)), value);
  });

  it('an element that is not there is not taken from what all objects have', () => {
    const value = { Labels: JSON.parse('{"__proto__": "p"}') as object };
    assert.equal(render('{{index .Labels "constructor"}}', value), '<no value>');
    assert.equal(render('{{index .Labels "__proto__"}}', value), 'p');
  });
});
