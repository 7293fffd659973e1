/**
 * Where images come from: archives, OCI layouts, the store, registries.
 *
 * Rules: a source lists what it has under a reference, and gives manifests and blobs by their descriptors. It verifies
 * nothing: whoever copies compares all bytes with the descriptors, for every source in the same way
 * (`transfer/verified.ts`). Documents are bounded by `MAX_DOCUMENT_BYTES`, blobs are streams and may be asked for more
 * than once. Compare types.ImageSource in containers/image, which leaves out listing and is of one image each, and
 * content.ReadOnlyStorage in oras-go.
 */
import type { Readable } from 'node:stream';
import { UsageError } from '../../fs/index.js';
import { quoted } from '../../fs/input/shown.js';
import type { Descriptor } from './oci.js';
import { formatReference, parseReference, withDefaultTag } from './reference.js';

/** What a source has under one name, or without a name. */
export interface Candidate {
  /** The name, or a digest, for messages. */
  readonly what: string;
  /** Full names. */
  readonly names: readonly string[];
  /** One descriptor, or one per platform: of an image, of an index of images, or of something else. */
  readonly variants: readonly Descriptor[];
}

export interface ImageSource {
  /** For messages, such as "the layout". */
  readonly name: string;
  /** What is there under a reference; everything if there is none. Throws `UsageError` if nothing has that reference. */
  resolve(reference?: string): Promise<readonly Candidate[]>;
  /** The bytes of a manifest or an index. Throws `UsageError` if it is not there. */
  manifest(descriptor: Descriptor): Promise<Buffer>;
  /** The bytes of a blob. Throws `UsageError` if it is not there. */
  blob(descriptor: Descriptor): Promise<Readable>;
  /** What a descriptor's bytes are called in a complaint about them. */
  describe(descriptor: Descriptor): string;
}

/** Those of several candidates that have the name; all without a name. Throws `UsageError` if there is none. */
export function candidatesNamed(
  candidates: readonly Candidate[],
  reference: string | undefined,
  source: string,
): readonly Candidate[] {
  if (reference === undefined) return candidates;
  const name = formatReference(withDefaultTag(parseReference(reference)));
  const found = candidates.filter(({ names }) => names.includes(name));
  if (found.length === 0) throw new UsageError(`no image ${quoted(reference)} in ${source}`);
  return found.map((candidate) => ({ ...candidate, names: [name] }));
}
