/** Protects what is shown: sizes and ages as docker shows them, and the part of Go's templates that --format takes. */
import { assert } from 'chai';
import { ago, humanSize } from '../../../cli/terminal/human.js';
import { parseSize } from '../../../cli/terminal/size.js';
import { render } from '../../../cli/terminal/template.js';

const SIZES: readonly [bytes: number, shown: string][] = [
  [0, '0B'],
  [999, '999B'],
  [1000, '1kB'],
  [1234, '1.23kB'],
  [74_800_000, '74.8MB'],
  [999_900_000, '1000MB'],
  [1.5e12, '1.5TB'],
];

const SECOND = 1000;
const AGES: readonly [seconds: number, shown: string][] = [
  [0, 'Less than a second ago'],
  [1, '1 second ago'],
  [59, '59 seconds ago'],
  [60, '1 minute ago'],
  [3 * 3600, '3 hours ago'],
  [3 * 86_400, '3 days ago'],
  [15 * 86_400, '2 weeks ago'],
  [65 * 86_400, '2 months ago'],
  [800 * 86_400, '2 years ago'],
];

const VALUE = { Id: 'x', Config: { Env: ['A=1', 'B=2'], Labels: { k: 'v' }, Cmd: null }, Size: 3 };
const TEMPLATES: readonly [template: string, shown: string][] = [
  ['{{.Id}}', 'x'],
  ['{{ .Size }}:{{.Id}}\\n', '3:x\n'],
  ['{{.Config.Env}}', '[A=1 B=2]'],
  ['{{json .Config.Env}}', '["A=1","B=2"]'],
  ['{{.Config.Labels}}', 'map[k:v]'],
  ['{{index .Config.Labels "k"}}{{index .Config.Env 1}}', 'vB=2'],
  ['{{len .Config.Env}}', '2'],
  ['{{.Config.Cmd}}', '<no value>'],
  ['{{json .}}', JSON.stringify(VALUE)],
];

describe('formats', () => {
  for (const [bytes, shown] of SIZES) {
    it(`${bytes} bytes are ${shown}`, () => assert.equal(humanSize(bytes), shown));
  }
  for (const [seconds, shown] of AGES) {
    it(`${seconds} seconds are ${shown}`, () => {
      assert.equal(ago(new Date(0).toISOString(), seconds * SECOND), shown);
    });
  }
  for (const [template, shown] of TEMPLATES) {
    it(`${template} shows ${shown}`, () => assert.equal(render(template, VALUE), shown));
  }
  it('sizes that users type are powers of 1024', () => {
    assert.deepEqual(['1', '2b', '1k', '1.5M', '10g', '1GiB'].map(parseSize), [
      1,
      2,
      1024,
      1.5 * 1024 ** 2,
      10 * 1024 ** 3,
      1024 ** 3,
    ]);
  });
});
