/**
 * Selects the image of a candidate for this platform.
 *
 * Rules: the first variant for this platform, else the first without a platform; indexes may be nested to a bounded depth.
 * Signatures and attestations in an index are ignored; a manifest that is not of an image is an artifact, which is reported
 * and not copied.
 */
import { UsageError } from '../../../fs/index.js';
import { quoted } from '../../../fs/input/shown.js';
import { artifactTypeOf, parseAnyManifest, parseIndex } from '../manifest.js';
import { type Descriptor, MEDIA_TYPE } from '../oci.js';
import { forThisPlatform } from '../platform.js';
import type { Candidate, ImageSource } from '../source.js';

const DOCUMENT_TYPES: readonly string[] = [MEDIA_TYPE.INDEX, MEDIA_TYPE.MANIFEST];
/** How deep indexes may be nested. */
const MAX_INDEXES = 8;
/** The platform of attestations, which cannot run. */
const UNKNOWN = 'unknown';

/** The target of a candidate: an image's manifest, or an artifact of another type. */
export type Selected = { readonly manifest: Buffer } | { readonly artifact: string };

/** Throws `UsageError` if there are images, but none for this platform. */
export async function selectImage(
  source: ImageSource,
  { what, variants }: Pick<Candidate, 'what' | 'variants'>,
): Promise<Selected> {
  const fitting = variants.length === 1 ? variants : forThisPlatform(variants, quoted(what));
  return first(source, fitting, what, 0);
}

/** The first image among the targets of descriptors. */
async function first(
  source: ImageSource,
  descriptors: readonly Descriptor[],
  what: string,
  depth: number,
): Promise<Selected> {
  let found: Selected = { artifact: 'nothing' };
  for (const descriptor of descriptors) {
    found = await follow(source, descriptor, what, depth);
    if ('manifest' in found) return found;
  }
  return found;
}

async function follow(
  source: ImageSource,
  descriptor: Descriptor,
  what: string,
  depth: number,
): Promise<Selected> {
  const { mediaType, digest } = descriptor;
  if (!DOCUMENT_TYPES.includes(mediaType)) return { artifact: mediaType };
  if (depth > MAX_INDEXES)
    throw new UsageError(`${quoted(what)} is nested in more than ${MAX_INDEXES} indexes`);
  const bytes = await source.manifest(descriptor);
  if (mediaType !== MEDIA_TYPE.INDEX) {
    const artifact = artifactTypeOf(parseAnyManifest(bytes, `manifest "${digest}"`));
    return artifact === undefined ? { manifest: bytes } : { artifact };
  }
  const { manifests } = parseIndex(bytes, `index "${digest}"`);
  const here = forThisPlatform(
    manifests.filter((inner) => !isAboutImage(inner)),
    quoted(what),
  );
  return first(source, here, what, depth + 1);
}

/** Whether a descriptor of an index is about an image: a signature, or an attestation (BuildKit's, OCI's). */
const isAboutImage = ({ artifactType, platform, annotations }: Descriptor): boolean =>
  artifactType !== undefined ||
  platform?.os === UNKNOWN ||
  Object.hasOwn(annotations ?? {}, 'vnd.docker.reference.type');
