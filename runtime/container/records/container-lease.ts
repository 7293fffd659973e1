/** A container's lease (`image/store/leases.ts`): the layers and the image that it is made of, as its record has them. */
import { basename, dirname } from 'node:path';
import { type Digest, isDigest } from '../../image/digest.js';
import { CONTAINER, type Holder, type Lease } from '../../image/store/leases.js';
import type { ContainerRecord } from './record.js';

export const holderOfContainer = (id: string): Holder => ({ kind: CONTAINER, id });

export function leaseOf({ id, name, created, image, lowers }: ContainerRecord): Lease {
  const layers = lowers.map(keyOf).filter((key) => key !== undefined);
  return { holder: { kind: CONTAINER, id, name }, since: created, image: image.id, layers };
}

/** The key in a path ".../layers/HEX/diff"; the store may have been moved since the record was written. */
function keyOf(lower: string): Digest | undefined {
  const key = `sha256:${basename(dirname(lower))}`;
  return isDigest(key) ? key : undefined;
}
