/** Protects the promise of a digest: what is not what it should be is never passed on as whole, and the message says how it differs. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { assert } from 'chai';
import { UsageError } from '../../../fs/index.js';
import type { Digest } from '../../../runtime/image/oci.js';
import { Check, digestOf, type Expected, Verifier } from '../../../runtime/image/verify.js';
import { collect } from '../../support/image/scratch.js';

const BYTES = Buffer.from('some bytes');
const DIGEST: Digest = `sha256:${createHash('sha256').update(BYTES).digest('hex')}`;
const OTHER: Digest = `sha256:${'0'.repeat(64)}`;

const CASES: readonly [what: string, expected: Omit<Expected, 'what'>, why?: string][] = [
  ['nothing', {}],
  ['their digest', { digest: DIGEST }],
  ['their size', { size: BYTES.length }],
  ['both', { digest: DIGEST, size: BYTES.length }],
  ['another digest', { digest: OTHER }, `it has the digest "${DIGEST}", not the expected "${OTHER}"`],
  ['more bytes', { size: 11 }, 'it has 10 bytes, not the expected 11'],
  ['fewer bytes', { size: 9 }, 'it is longer than its 9 bytes'],
  ['fewer bytes, in time', { size: 4 }, 'it is longer than its 4 bytes'],
];

describe('verified bytes', () => {
  it('have a digest of their own', () => {
    assert.equal(digestOf(BYTES), DIGEST);
    assert.equal(digestOf('some bytes'), DIGEST);
  });

  for (const [what, expected, why] of CASES) {
    it(`of which ${what} is promised are ${why === undefined ? 'passed on' : 'refused'}`, async () => {
      const check = (): Digest => {
        const one = new Check({ what: 'it', ...expected });
        for (const byte of BYTES) one.update(Buffer.from([byte]));
        assert.equal(one.size, BYTES.length);
        return one.finish();
      };
      const verifier = new Verifier({ what: 'it', ...expected });
      let ended = false;
      verifier.on('end', () => (ended = true));
      const flow = pipeline(Readable.from([BYTES.subarray(0, 5), BYTES.subarray(5)]), verifier).catch(
        (error: Error) => error,
      );
      const found = await collect(verifier).catch((error: Error) => error);
      const failure = await flow;
      if (why === undefined) {
        assert.equal(check(), DIGEST);
        assert.deepEqual(found, BYTES);
        assert.equal(verifier.size, BYTES.length);
        assert.isUndefined(failure);
      } else {
        assert.throws(check, UsageError, why);
        assert.instanceOf(failure, UsageError);
        assert.equal((failure as Error).message, why);
        assert.isFalse(ended);
      }
    });
  }
});
