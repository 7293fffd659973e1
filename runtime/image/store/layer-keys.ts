/**
 * The key under which a store keeps an unpacked layer.
 *
 * Rule: normally the unpacked content depends only on the layer, so the key is its diffID and images share it. Some layers
 * depend on those below: by hard links to their files, or directories without an entry. The key of such a layer is a
 * digest of all diffIDs up to it. Compare "Layer ChainID" in
 * the image specification's config.md; ours differs at the base, where it must not be taken for the diffID.
 */
import type { Digest } from '../oci.js';
import { digestOf } from '../verify.js';

/** The keys of layers that depend on those below, the base first. */
export function placedKeys(diffIds: readonly Digest[]): Digest[] {
  const keys: Digest[] = [];
  for (const diffId of diffIds) keys.push(digestOf(`${keys.at(-1) ?? ''} ${diffId}`));
  return keys;
}
