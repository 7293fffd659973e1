/** Protects names: what users type is understood as docker understands it, and shown as short as docker shows it. */
import { assert } from 'chai';
import { UsageError } from '../../fs/index.js';
import { quoted } from '../../fs/input/shown.js';
import { familiar, formatReference, parseReference, withDefaultTag } from '../../runtime/image/reference.js';

const HEX = '0123456789abcdef'.repeat(4);

const NAMES: readonly [typed: string, full: string, shown: string][] = [
  ['debian', 'docker.io/library/debian:latest', 'debian:latest'],
  ['debian:12', 'docker.io/library/debian:12', 'debian:12'],
  ['library/debian', 'docker.io/library/debian:latest', 'debian:latest'],
  ['docker.io/debian', 'docker.io/library/debian:latest', 'debian:latest'],
  ['index.docker.io/library/debian', 'docker.io/library/debian:latest', 'debian:latest'],
  ['alpine/git', 'docker.io/alpine/git:latest', 'alpine/git:latest'],
  ['localhost/a', 'localhost/a:latest', 'localhost/a:latest'],
  ['localhost:5000/a', 'localhost:5000/a:latest', 'localhost:5000/a:latest'],
  ['quay.io/a/b/c:x_Y.1-2', 'quay.io/a/b/c:x_Y.1-2', 'quay.io/a/b/c:x_Y.1-2'],
  ['Host/a', 'Host/a:latest', 'Host/a:latest'],
  ['[::1]:80/a', '[::1]:80/a:latest', '[::1]:80/a:latest'],
  ['a__b.c-d---e', 'docker.io/library/a__b.c-d---e:latest', 'a__b.c-d---e:latest'],
  [`a@sha256:${HEX}`, `docker.io/library/a@sha256:${HEX}`, `a@sha256:${HEX}`],
  [`a:1@sha256:${HEX}`, `docker.io/library/a:1@sha256:${HEX}`, `a:1@sha256:${HEX}`],
];

const BAD: readonly string[] = [
  '',
  ':1',
  'a:',
  'a:b:c',
  'a//b',
  '/a',
  'a/',
  'Debian',
  'a/B',
  '-a',
  'a-',
  'a..b',
  'a___b',
  'a b',
  'a\n',
  '../a',
  'a@sha256:12',
  `a@md5:${HEX}`,
  HEX,
  'a:.x',
  `a:${'x'.repeat(129)}`,
  'x'.repeat(256),
];

describe('image names', () => {
  for (const [typed, full, shown] of NAMES) {
    it(`"${typed}" means ${full}`, () => {
      assert.equal(formatReference(withDefaultTag(parseReference(typed))), full);
      assert.equal(familiar(full), shown);
      assert.equal(formatReference(parseReference(shown)), full, 'what is shown can be typed');
    });
  }

  for (const typed of BAD) {
    it(`${JSON.stringify(typed.slice(0, 70))} is refused, and named`, () => {
      assert.throws(() => parseReference(typed), UsageError, `${quoted(typed)} is no image name: `);
    });
  }
});
