/**
 * Checks documents from outside: the result has a type of `oci.ts`, an error has the document and the field.
 *
 * Rules: schemas check single fields, this file checks combinations of fields. A document has one kind: with fields of two
 * kinds, or a media type that differs from its descriptor's, it is refused, because two readers would see different
 * images (CVE-2021-41190; compare ValidateUnambiguousManifestFormat in containers/image). Docker's media types mean what
 * OCI's mean. A manifest whose configuration or layers are of other types is an artifact: a signature, an SBOM, an
 * attestation (manifest.md, "Guidelines for Artifact Usage"). Blobs are stored byte by byte.
 */
import { DocumentError, parseDocument } from '../../fs/input/document.js';
import { quoted } from '../../fs/input/shown.js';
import {
  ARCHIVE_MANIFEST,
  type ArchivedImage,
  CONFIG,
  type Descriptor,
  type ImageConfig,
  INDEX,
  type Index,
  MANIFEST,
  type Manifest,
  MEDIA_TYPE,
  OCI_LAYOUT,
} from './oci.js';
import { digestOf } from './verify.js';

export { MAX_DOCUMENT_BYTES } from '../../fs/input/document.js';
export type { ArchivedImage } from './oci.js';

const DOCKER = 'application/vnd.docker.';
const MAPPED: Readonly<Record<string, string>> = {
  [`${DOCKER}distribution.manifest.list.v2+json`]: MEDIA_TYPE.INDEX,
  [`${DOCKER}distribution.manifest.v2+json`]: MEDIA_TYPE.MANIFEST,
  [`${DOCKER}container.image.v1+json`]: MEDIA_TYPE.CONFIG,
  [`${DOCKER}image.rootfs.diff.tar`]: MEDIA_TYPE.LAYER,
  [`${DOCKER}image.rootfs.diff.tar.gzip`]: MEDIA_TYPE.LAYER_GZIP,
  [`${DOCKER}image.rootfs.diff.tar.zstd`]: MEDIA_TYPE.LAYER_ZSTD,
  [`${DOCKER}image.rootfs.foreign.diff.tar`]: MEDIA_TYPE.FOREIGN_LAYER,
  [`${DOCKER}image.rootfs.foreign.diff.tar.gzip`]: MEDIA_TYPE.FOREIGN_LAYER_GZIP,
};
const FOREIGN_TYPES: readonly string[] = [
  MEDIA_TYPE.FOREIGN_LAYER,
  MEDIA_TYPE.FOREIGN_LAYER_GZIP,
  MEDIA_TYPE.FOREIGN_LAYER_ZSTD,
];
const LAYER_TYPES: readonly string[] = [
  MEDIA_TYPE.LAYER,
  MEDIA_TYPE.LAYER_GZIP,
  MEDIA_TYPE.LAYER_ZSTD,
  ...FOREIGN_TYPES,
];
/** Fields that identify other kinds of documents; upper and lower case are equal, as for Go. */
const KINDS = {
  index: { version: 2, type: MEDIA_TYPE.INDEX, foreign: ['config', 'layers', 'fslayers', 'history'] },
  manifest: { version: 2, type: MEDIA_TYPE.MANIFEST, foreign: ['manifests', 'fslayers', 'history'] },
} as const;

const asOci = (mediaType: string): string =>
  Object.hasOwn(MAPPED, mediaType) ? (MAPPED[mediaType] as string) : mediaType;

const inOci = (descriptor: Descriptor): Descriptor => ({
  ...descriptor,
  mediaType: asOci(descriptor.mediaType),
});

export const isLayer = ({ mediaType }: Descriptor): boolean => LAYER_TYPES.includes(mediaType);
export const isForeign = ({ mediaType }: Descriptor): boolean => FOREIGN_TYPES.includes(mediaType);

/** Refuses a document that other programs would take for another kind. */
function checkKind(
  kind: keyof typeof KINDS,
  document: { readonly schemaVersion?: number; readonly mediaType?: string },
  what: string,
): void {
  const { version, type, foreign } = KINDS[kind];
  const { schemaVersion = version, mediaType = type } = document;
  if (schemaVersion !== version)
    throw new DocumentError(
      `${what} has the unsupported schema version ${schemaVersion}; supported is ${version}`,
    );
  if (asOci(mediaType || type) !== type)
    throw new DocumentError(
      `${what} has the media type ${quoted(mediaType)}, but its descriptor has ${quoted(type)}`,
    );
  const odd = Object.keys(document).find((name) =>
    (foreign as readonly string[]).includes(name.toLowerCase()),
  );
  if (odd !== undefined)
    throw new DocumentError(
      `${what} is ambiguous: the field ${quoted(odd)} does not belong to an image ${kind}`,
    );
}

/** Checks an image index. Throws `DocumentError`. */
export function parseIndex(bytes: Buffer, what: string): Index {
  const index = parseDocument(INDEX, bytes, what);
  checkKind('index', index, what);
  return { schemaVersion: 2, manifests: index.manifests.map(inOci) };
}

/** Checks the manifest of an image or an artifact; its media type is not changed. Throws `DocumentError`. */
export function parseAnyManifest(bytes: Buffer, what: string): Manifest {
  const { mediaType, artifactType, config, layers, ...rest } = parseDocument(MANIFEST, bytes, what);
  checkKind('manifest', { ...rest, ...(mediaType !== undefined && { mediaType }) }, what);
  return {
    schemaVersion: 2,
    mediaType: mediaType || MEDIA_TYPE.MANIFEST,
    ...(artifactType !== undefined && { artifactType }),
    config: inOci(config),
    layers: layers.map(inOci),
  };
}

/** The artifact type of a manifest; undefined for an image. */
export function artifactTypeOf({ config, layers, artifactType }: Manifest): string | undefined {
  if (config.mediaType !== MEDIA_TYPE.CONFIG) return artifactType || config.mediaType || 'no type';
  const [first] = layers;
  return first === undefined || layers.some(isLayer) ? undefined : artifactType || first.mediaType;
}

/** Checks the manifest of an image. Throws `DocumentError`. */
export function parseManifest(bytes: Buffer, what: string): Manifest {
  const manifest = parseAnyManifest(bytes, what);
  const artifactType = artifactTypeOf(manifest);
  if (artifactType !== undefined)
    throw new DocumentError(`${what} is not an image but ${quoted(artifactType)}`);
  const unknown = manifest.layers.find((layer) => !isLayer(layer));
  if (unknown !== undefined)
    throw new DocumentError(`${what} has a layer of unknown type ${quoted(unknown.mediaType)}`);
  return manifest;
}

/** Checks an image configuration. Throws `DocumentError`. */
export const parseConfig = (bytes: Buffer, what: string): ImageConfig => parseDocument(CONFIG, bytes, what);

/** An image by its documents. */
export interface Image {
  /** The manifest's bytes, and what names them. */
  readonly bytes: Buffer;
  readonly descriptor: Descriptor;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
}

/** Checks the documents of an image, and that they belong together. Throws `DocumentError`. */
export function parseImage(bytes: Buffer, configuration: Buffer): Image {
  const digest = digestOf(bytes);
  const what = `manifest "${digest}"`;
  const manifest = parseManifest(bytes, what);
  const config = parseConfig(configuration, `configuration "${manifest.config.digest}"`);
  const { length } = config.rootfs.diff_ids;
  if (length !== manifest.layers.length)
    throw new DocumentError(`${what} has ${manifest.layers.length} layers, its configuration ${length}`);
  const { mediaType = MEDIA_TYPE.MANIFEST } = manifest;
  return { bytes, descriptor: { mediaType, digest, size: bytes.length }, manifest, config };
}

/** The bytes of a new manifest. */
export function encodeManifest(config: Descriptor, layers: readonly Descriptor[]): Buffer {
  const manifest: Manifest = { schemaVersion: 2, mediaType: MEDIA_TYPE.MANIFEST, config, layers };
  return Buffer.from(JSON.stringify(manifest));
}

/** Checks manifest.json of a docker archive. Throws `DocumentError`. */
export const parseArchiveManifest = (bytes: Buffer): readonly ArchivedImage[] =>
  parseDocument(ARCHIVE_MANIFEST, bytes, 'manifest.json');

const LAYOUT_VERSION = '1.0.0';

/** Checks the file that says that a directory is an OCI image layout. Throws `DocumentError`. */
export function checkLayoutVersion(bytes: Buffer): void {
  const { imageLayoutVersion } = parseDocument(OCI_LAYOUT, bytes, 'oci-layout');
  if (imageLayoutVersion !== LAYOUT_VERSION)
    throw new DocumentError(
      `oci-layout has the unsupported version ${quoted(imageLayoutVersion)}; supported is ${LAYOUT_VERSION}`,
    );
}
