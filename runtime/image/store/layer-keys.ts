/**
 * Under which key a store keeps an unpacked layer.
 *
 * Rule: a layer alone decides what it unpacks to, so it lies under its diffID and images share it. Some depend on the
 * layers below: hard links to files that those hold, directories that only names of entries imply. What such a layer
 * unpacks to belongs to its place, all diffIDs up to it; it lies under the digest of those. Compare "Layer ChainID" in
 * the image specification's config.md; ours differs at the base, where it must not be taken for the diffID.
 */
import type { Digest } from '../oci.js';
import { digestOf } from '../verify.js';

/** The keys of an image's layers at their places, the base first. */
export function placedKeys(diffIds: readonly Digest[]): Digest[] {
  const keys: Digest[] = [];
  for (const diffId of diffIds) keys.push(digestOf(`${keys.at(-1) ?? ''} ${diffId}`));
  return keys;
}
