/** Protects the places of unpacked layers: a key stands for a layer and all below it, in their order, and is no diffID. */
import { createHash } from 'node:crypto';
import { assert } from 'chai';
import type { Digest } from '../../../runtime/image/oci.js';
import { placedKeys } from '../../../runtime/image/store/layer-keys.js';

const sha256 = (text: string): Digest => `sha256:${createHash('sha256').update(text).digest('hex')}`;
const [A, B] = [sha256('a'), sha256('b')];

describe('keys of layers', () => {
  it('are the digests of the key below and the diffID', () => {
    const base = sha256(` ${A}`);
    assert.deepEqual(placedKeys([A, B, A]), [
      base,
      sha256(`${base} ${B}`),
      sha256(`${sha256(`${base} ${B}`)} ${A}`),
    ]);
    assert.isEmpty(placedKeys([]));
  });

  it('tell the same layer at two places apart', () => {
    assert.lengthOf(new Set([...placedKeys([A, A]), ...placedKeys([B, A]), A, B]), 6);
  });
});
