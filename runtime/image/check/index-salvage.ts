/**
 * Rebuilds a damaged index from the manifests in the store and from names in the index's text.
 *
 * Rules: an image is restored if its manifest, configuration and layers are in the store. Names come from the readable
 * part of the damaged index, else from the index's copy; only valid names are used.
 */

import { statSync } from 'node:fs';
import { UsageError } from '../../../fs/index.js';
import { readRegular } from '../../../fs/input/regular-file.js';
import { MAX_DOCUMENT_BYTES, parseConfig, parseManifest } from '../manifest.js';
import { type Descriptor, type Digest, type Index, MEDIA_TYPE } from '../oci.js';
import { formatReference, parseReference } from '../reference.js';
import { EMPTY_INDEX, NAME_ANNOTATION, withImage } from '../store/index-file.js';
import { type Layout, namesIn } from '../store/layout.js';
import { INDEX_COPY } from '../store/store.js';

const HEX = /^[0-9a-f]{64}$/;
/** A descriptor as `index.json` has it: its digest, and later its name. */
const NAMED = new RegExp(
  `"(sha256:[0-9a-f]{64})"[^{}]*\\{[^{}]*"${NAME_ANNOTATION.replaceAll('.', '\\.')}"\\s*:\\s*("(?:[^"\\\\]|\\\\.)*")`,
  'g',
);

export function salvageIndex(layout: Layout): Index {
  const names = new Map([
    ...namesOf(textOf(layout.path(INDEX_COPY))),
    ...namesOf(textOf(layout.path('index.json'))), // the later one is used
  ]);
  let index: Index = EMPTY_INDEX;
  for (const manifest of manifestsIn(layout)) {
    const own = [...names].filter(([, digest]) => digest === manifest.digest).map(([name]) => name);
    index = withImage(index, manifest, own);
  }
  return index;
}

function textOf(path: string): string {
  try {
    return readRegular(path, MAX_DOCUMENT_BYTES).toString();
  } catch {
    return '';
  }
}

/** Full names and the manifests that they belong to. */
function namesOf(text: string): [string, Digest][] {
  return [...text.matchAll(NAMED)].flatMap(([, digest, quoted = '""']): [string, Digest][] => {
    const name = referenceOf(quoted);
    return name === undefined ? [] : [[name, digest as Digest]];
  });
}

function referenceOf(quoted: string): string | undefined {
  try {
    return formatReference(parseReference(JSON.parse(quoted) as string));
  } catch {
    return undefined;
  }
}

/** Manifests of whole images, in the order in which they came. */
function manifestsIn(layout: Layout): Descriptor[] {
  const found: { descriptor: Descriptor; since: number }[] = [];
  for (const name of namesIn(layout.path('blobs', 'sha256'))) {
    if (!HEX.test(name)) continue;
    const digest: Digest = `sha256:${name}`;
    const stat = statSync(layout.blobPath(digest), { throwIfNoEntry: false });
    if (stat === undefined || !stat.isFile() || stat.size > MAX_DOCUMENT_BYTES) continue;
    const mediaType = mediaTypeOf(layout, digest);
    if (mediaType !== undefined)
      found.push({ descriptor: { mediaType, digest, size: stat.size }, since: stat.mtimeMs });
  }
  return found.sort((a, b) => a.since - b.since).map(({ descriptor }) => descriptor);
}

/** The media type of a manifest whose image is complete; undefined for other blobs. */
function mediaTypeOf(layout: Layout, digest: Digest): string | undefined {
  try {
    const { config, layers, mediaType } = parseManifest(layout.readBlob(digest), 'it');
    const { rootfs } = parseConfig(layout.readBlob(config.digest), 'it');
    const areThere = layers.every(({ digest: layer, size }) => hasSize(layout, layer, size));
    return areThere && rootfs.diff_ids.length === layers.length
      ? (mediaType ?? MEDIA_TYPE.MANIFEST)
      : undefined;
  } catch (error) {
    if (error instanceof UsageError) return undefined;
    throw error;
  }
}

const hasSize = (layout: Layout, digest: Digest, size: number): boolean =>
  statSync(layout.blobPath(digest), { throwIfNoEntry: false })?.size === size;
