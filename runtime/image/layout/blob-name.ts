/** Where a layout has a blob (image-layout.md, "Blobs"). */
import { type Digest, hexOf } from '../digest.js';

export const blobName = (digest: Digest): string => `blobs/sha256/${hexOf(digest)}`;
