/** Protects names: what users type is understood as docker understands it, and shown as short as docker shows it. */
import { assert } from 'chai';
import { UsageError } from '../../../fs/index.js';
import { quoted } from '../../../fs/input/shown.js';
import {
  familiar,
  formatReference,
  hexOf,
  isDigest,
  parseReference,
  parseTag,
  withDefaultTag,
} from '../../../runtime/image/reference.js';

const HEX = '0123456789abcdef'.repeat(4);

const NAMES: readonly [typed: string, full: string, shown: string][] = [
  ['debian', 'docker.io/library/debian:latest', 'debian:latest'],
  ['debian:12', 'docker.io/library/debian:12', 'debian:12'],
  ['library/a/b', 'docker.io/library/a/b:latest', 'library/a/b:latest'],
  ['quay.io/library/a', 'quay.io/library/a:latest', 'quay.io/library/a:latest'],
  ['index.docker.io/a/b:1', 'docker.io/a/b:1', 'a/b:1'],
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

const BAD: readonly [typed: string, why: string][] = [
  ['', 'the name is empty'],
  [':1', 'the name is empty'],
  [`@sha256:${HEX}`, 'the name is empty'],
  ['docker.io/', 'the name is empty'],
  ['quay.io/', 'the name is empty'],
  ['a:', '"" is not a valid tag'],
  ['a:b:c', '"library/a:b" is not a valid repository'],
  ['a//b', '"a//b" is not a valid repository'],
  ['/a', '"/a" is not a valid repository'],
  ['a/', '"a/" is not a valid repository'],
  ['Debian', 'use lower case for the repository'],
  ['a/B', 'use lower case for the repository'],
  ['-a', '"library/-a" is not a valid repository'],
  ['a-', '"library/a-" is not a valid repository'],
  ['a..b', '"library/a..b" is not a valid repository'],
  ['a___b', '"library/a___b" is not a valid repository'],
  ['a b', '"library/a b" is not a valid repository'],
  ['a\n', 'is not a valid repository'],
  ['../a', '".." is not a valid host name'],
  ['./a', '"." is not a valid host name'],
  ['a-.b/c', '"a-.b" is not a valid host name'],
  ['-a.b/c', '"-a.b" is not a valid host name'],
  ['a.b:/c', '"a.b:" is not a valid host name'],
  ['a.b:x/c', '"a.b:x" is not a valid host name'],
  ['a.b:1x/c', '"a.b:1x" is not a valid host name'],
  ['a_b.c/d', '"a_b.c" is not a valid host name'],
  ['[::1/c', '"[::1" is not a valid host name'],
  ['x[::1]/c', '"x[::1]" is not a valid host name'],
  ['[:g:]/c', '"[:g:]" is not a valid host name'],
  ['a@sha256:12', '"sha256:12" is not a sha256 digest'],
  ['a@', '"" is not a sha256 digest'],
  [`a@md5:${HEX}`, 'is not a sha256 digest'],
  [`a@xsha256:${HEX}`, 'is not a sha256 digest'],
  [`a@sha256:${HEX}0`, 'is not a sha256 digest'],
  [`a@sha256:${HEX.toUpperCase()}`, 'is not a sha256 digest'],
  [`a@sha256:${HEX}@`, 'is not a sha256 digest'],
  [HEX, '64 hexadecimal digits are an image ID, not a name'],
  [`${HEX}:1`, '64 hexadecimal digits are an image ID, not a name'],
  ['a:.x', '".x" is not a valid tag'],
  ['a:-x', '"-x" is not a valid tag'],
  ['a:x y', '"x y" is not a valid tag'],
  [`a:${'x'.repeat(129)}`, 'is not a valid tag'],
  ['x'.repeat(256 - 'docker.io/library/'.length), 'it has more than 255 characters'],
];

/** What only looks like something else, and lengths at their limits. */
const GOOD: readonly string[] = [
  `${HEX}0`,
  `a${HEX}`,
  `alpine/${HEX}`,
  `${HEX}/a`,
  'x'.repeat(255 - 'docker.io/library/'.length),
  `a:${'x'.repeat(128)}`,
  'a:_',
  'A-b.c-D:0/x',
  '9.9/x',
  'a0--b/c_d/e.f',
];

describe('image names', () => {
  for (const [typed, full, shown] of NAMES) {
    it(`"${typed}" means ${full}`, () => {
      assert.equal(formatReference(withDefaultTag(parseReference(typed))), full);
      assert.equal(familiar(full), shown);
      assert.equal(formatReference(parseReference(shown)), full, 'what is shown can be typed');
    });
  }

  for (const [typed, why] of BAD) {
    it(`${JSON.stringify(typed.slice(0, 70))} is refused, and named: ${why}`, () => {
      assert.throws(() => parseReference(typed), UsageError, `invalid image name ${quoted(typed)}: `);
      assert.throws(() => parseReference(typed), UsageError, why);
    });
  }

  for (const typed of GOOD) {
    it(`${JSON.stringify(typed.slice(0, 70))} is a name`, () => {
      assert.include(formatReference(parseReference(typed)), typed);
    });
  }

  it('the parts that a name does not have are absent', () => {
    assert.deepEqual(parseReference('debian'), { domain: 'docker.io', path: 'library/debian' });
    assert.deepEqual(parseReference(`a.b/c@sha256:${HEX}`), {
      domain: 'a.b',
      path: 'c',
      digest: `sha256:${HEX}`,
    });
  });

  it('a name to be given has a tag, "latest" if need be, and no digest', () => {
    assert.equal(parseTag('a').tag, 'latest');
    assert.equal(parseTag('a:1').tag, '1');
    assert.throws(() => parseTag(`a@sha256:${HEX}`), UsageError, 'a tag must not contain a digest');
  });

  it('a digest is text, "sha256:" and 64 lower-case digits', () => {
    assert.isTrue(isDigest(`sha256:${HEX}`));
    for (const other of [[`sha256:${HEX}`], undefined, HEX, `sha256:${HEX}\n`, ` sha256:${HEX}`])
      assert.isFalse(isDigest(other), String(other));
    assert.equal(hexOf(`sha256:${HEX}`), HEX);
  });
});
