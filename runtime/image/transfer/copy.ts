/**
 * Copies images from a source to a sink: the implementation of `load` and `save`.
 *
 *     source.resolve -> select -> manifest, configuration -> blobs that the sink lacks -> image and names
 *
 * Rules: all bytes are verified between the two (`verified.ts`). Images are copied one after another, each once with
 * all its names; a blob is read once, and not at all where the sink has it. Memory holds one image's documents at a
 * time. Compare copy.Image in containers/image and Copy in oras-go.
 */
import { buffer } from 'node:stream/consumers';
import { UsageError } from '../../../fs/index.js';
import { quoted } from '../../../fs/input/shown.js';
import { type Image, MAX_DOCUMENT_BYTES, parseImage, parseManifest } from '../manifest.js';
import type { Descriptor, Digest } from '../oci.js';
import type { Content, ImageSink } from '../sink.js';
import type { Candidate, ImageSource } from '../source.js';
import { selectImage } from './select.js';
import { VerifiedSource } from './verified.js';

export interface CopiedImage {
  readonly id: Digest;
  /** Its full names. */
  readonly names: readonly string[];
}

export interface CopyProgress {
  /** Called when an image is in the sink. */
  readonly onImage?: (image: Image, candidate: Candidate) => void;
  /** Called at the end for each artifact, which is not copied, with its type. */
  readonly onArtifact?: (what: string, type: string) => void;
}

/**
 * Copies the images of a source with these references; without references, all images.
 * @throws UsageError if there is no image; the sink may have received some data by then
 */
export async function copyImages(
  from: ImageSource,
  sink: ImageSink,
  references: readonly string[] = [],
  { onImage, onArtifact }: CopyProgress = {},
): Promise<CopiedImage[]> {
  const source = new VerifiedSource(from);
  const copied = new Map<Digest, CopiedImage>();
  const artifacts: [what: string, type: string][] = [];
  for (const candidate of await candidatesOf(source, references)) {
    const selected = await selectImage(source, candidate);
    if ('artifact' in selected) {
      artifacts.push([candidate.what, selected.artifact]);
      continue;
    }
    const image = await readImage(source, selected.manifest, candidate.what);
    await copyImage(source, sink, image, candidate.names);
    const id = image.manifest.config.digest;
    copied.set(id, { id, names: [...(copied.get(id)?.names ?? []), ...candidate.names] });
    onImage?.(image, candidate);
  }
  if (copied.size === 0 && artifacts.length > 0) throw noImage(source, artifacts);
  for (const [what, type] of artifacts) onArtifact?.(what, type);
  return [...copied.values()];
}

const noImage = ({ name }: ImageSource, artifacts: readonly (readonly [string, string])[]): UsageError =>
  new UsageError(
    `${name} contains no image, only ${artifacts.map(([what, type]) => `${quoted(what)} is ${quoted(type)}`).join(', ')}`,
  );

/** Each candidate once, with all its names. */
async function candidatesOf(source: ImageSource, references: readonly string[]): Promise<Candidate[]> {
  const found = new Map<string, { readonly candidate: Candidate; readonly names: Set<string> }>();
  for (const reference of references.length === 0 ? [undefined] : references) {
    for (const candidate of await source.resolve(reference)) {
      const key = candidate.variants.map(({ digest }) => digest).join();
      const known = found.get(key) ?? { candidate, names: new Set() };
      for (const name of candidate.names) known.names.add(name);
      found.set(key, known);
    }
  }
  return [...found.values()].map(({ candidate, names }) => ({ ...candidate, names: [...names] }));
}

async function readImage(source: ImageSource, manifest: Buffer, what: string): Promise<Image> {
  const { config } = parseManifest(manifest, `manifest of ${quoted(what)}`);
  const { digest, size } = config;
  if (size > MAX_DOCUMENT_BYTES)
    throw new UsageError(`"${digest}" has ${size} bytes; the limit is ${MAX_DOCUMENT_BYTES}`);
  return parseImage(manifest, await buffer(await source.blob(config)));
}

async function copyImage(
  source: ImageSource,
  sink: ImageSink,
  image: Image,
  names: readonly string[],
): Promise<void> {
  const { config, layers } = image.manifest;
  for (const blob of [config, ...layers]) {
    if (!(await sink.has(blob))) await sink.blob(blob, contentOf(source, blob));
  }
  await sink.image(image, names);
}

const contentOf = (source: ImageSource, blob: Descriptor): Content => ({
  what: source.describe(blob),
  open: () => source.blob(blob),
});
