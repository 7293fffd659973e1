/**
 * The documents of the OCI image specification v1.1, of Docker (image manifest version 2 schema 2; moby
 * image/spec/v1.2.md), and of our store: each with one schema that gives the check and the type.
 *
 * Rule: field names and meanings are the specification's; deviations are accepted if moby and
 * containers/image accept them. Every field that is read, stored or shown is listed here. Rules between fields are in `manifest.ts`.
 */
import {
  count,
  custom,
  flag,
  integer,
  listOf,
  listOrOne,
  mapOf,
  type Output,
  optional,
  orZero,
  pipe,
  struct,
  text,
  transform,
  word,
} from '../../fs/input/schema.js';
import { type Digest, isDigest } from './digest.js';

export type { Digest } from './digest.js';

const digest = custom<Digest>(isDigest, 'a sha256 digest: "sha256:" and 64 hexadecimal digits');
const texts = listOf(text, '');
const annotations = mapOf(text, '');
/** Layers of an image; Docker makes 127, the kernel mounts 500. */
export const MAX_LAYERS = 4096;

/** image-index.md, "platform"; empty where the document says nothing. */
const PLATFORM = struct({
  architecture: orZero(text, ''),
  os: orZero(text, ''),
  variant: optional(text),
});
export type Platform = Output<typeof PLATFORM>;

/** descriptor.md; `data` and `urls` are not used: blobs come from where the document came from. */
const DESCRIPTOR = struct({
  mediaType: orZero(text, ''),
  digest,
  /** Bytes. */
  size: count,
  annotations: optional(annotations),
  platform: optional(PLATFORM),
  artifactType: optional(text),
  urls: optional(texts),
  data: optional(text),
});
export type Descriptor = Output<typeof DESCRIPTOR>;
/** Bytes by their digest. */
export type Blob = Pick<Descriptor, 'digest' | 'size'>;

/** image-index.md, and Docker's manifest list */
export const INDEX = struct({
  schemaVersion: optional(count),
  mediaType: optional(text),
  artifactType: optional(text),
  manifests: listOf(DESCRIPTOR),
  annotations: optional(annotations),
});
export type Index = Output<typeof INDEX>;

/** manifest.md, and Docker's of schema version 2 */
export const MANIFEST = struct({
  schemaVersion: optional(count),
  mediaType: optional(text),
  artifactType: optional(text),
  config: DESCRIPTOR,
  /** Base first. */
  layers: orZero(listOf(DESCRIPTOR, undefined, MAX_LAYERS), []),
  subject: optional(DESCRIPTOR),
  annotations: optional(annotations),
});
export type Manifest = Output<typeof MANIFEST>;

/** image-layout.md, "oci-layout file" */
export const OCI_LAYOUT = struct({ imageLayoutVersion: text });

const words = listOf(word, '');
/** A string is a list of one word (strslice.StrSlice in moby). */
const command = listOrOne(
  words,
  pipe(
    word,
    transform((one) => [one]),
  ),
);
const set = mapOf(
  custom<object>((value) => typeof value === 'object', 'an object'),
  {},
);

const HEALTHCHECK = struct({
  Test: optional(words),
  Interval: optional(integer),
  Timeout: optional(integer),
  StartPeriod: optional(integer),
  StartInterval: optional(integer),
  Retries: optional(integer),
});

/** The execution parameters of config.md, and what Docker adds (container.Config in moby). */
export const EXECUTION = struct({
  User: optional(word),
  ExposedPorts: optional(set),
  /** NAME=VALUE; other entries are ignored. */
  Env: optional(words),
  Entrypoint: optional(command),
  Cmd: optional(command),
  Volumes: optional(set),
  WorkingDir: optional(word),
  Labels: optional(mapOf(text, '')),
  StopSignal: optional(text),
  StopTimeout: optional(integer),
  ArgsEscaped: optional(flag),
  Healthcheck: optional(HEALTHCHECK),
  Shell: optional(words),
  OnBuild: optional(texts),
  Hostname: optional(text),
  Domainname: optional(text),
});
export type ExecutionConfig = Output<typeof EXECUTION>;

const HISTORY = struct({
  /** RFC 3339. */
  created: optional(text),
  created_by: optional(text),
  author: optional(text),
  comment: optional(text),
  /** The step has no layer. */
  empty_layer: optional(flag),
});
export type History = Output<typeof HISTORY>;

/** config.md; `os` and `architecture` are empty where the document says nothing. */
export const CONFIG = struct({
  created: optional(text),
  author: optional(text),
  architecture: orZero(text, ''),
  os: orZero(text, ''),
  variant: optional(text),
  config: optional(EXECUTION),
  rootfs: struct({
    type: orZero(
      custom<'layers'>((value) => value === 'layers', '"layers"'),
      'layers',
    ),
    /** diffIDs: digests of the uncompressed layers, base first. */
    diff_ids: orZero(listOf(digest, undefined, MAX_LAYERS), []),
  }),
  history: optional(listOf(HISTORY, {})),
});
export type ImageConfig = Output<typeof CONFIG>;

/** manifest.json of a docker archive: files of the archive, layers with the base first. */
export const ARCHIVE_MANIFEST = listOf(
  struct({
    Config: word,
    RepoTags: orZero(texts, []),
    Layers: orZero(listOf(word, undefined, MAX_LAYERS), []),
  }),
);
export type ArchivedImage = Output<typeof ARCHIVE_MANIFEST>[number];

/** The store's layer.json: sizes of an unpacked layer. */
export const LAYER_SIZE = struct({
  /** Bytes of file contents. */
  bytes: count,
  entries: count,
  /** Bytes of the uncompressed tar. */
  tar: count,
  /** Whether the layer has an entry for its root; missing if unknown. */
  describesRoot: optional(flag),
});
export type LayerSize = Output<typeof LAYER_SIZE>;

export const MEDIA_TYPE = {
  INDEX: 'application/vnd.oci.image.index.v1+json',
  MANIFEST: 'application/vnd.oci.image.manifest.v1+json',
  CONFIG: 'application/vnd.oci.image.config.v1+json',
  LAYER: 'application/vnd.oci.image.layer.v1.tar',
  LAYER_GZIP: 'application/vnd.oci.image.layer.v1.tar+gzip',
  LAYER_ZSTD: 'application/vnd.oci.image.layer.v1.tar+zstd',
  /** Of layers that registries need not have (layer.md, "Non-Distributable Layers"). */
  FOREIGN_LAYER: 'application/vnd.oci.image.layer.nondistributable.v1.tar',
  FOREIGN_LAYER_GZIP: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  FOREIGN_LAYER_ZSTD: 'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',
} as const;

/** An image in the store, ready to be mounted. */
export interface StoredImage {
  /** Digest of the configuration: what `docker images` calls the image ID. */
  readonly id: Digest;
  readonly manifest: Manifest;
  readonly manifestDigest: Digest;
  readonly config: ImageConfig;
  /** References that name it, such as "docker.io/library/debian:12". */
  readonly names: readonly string[];
  /** The store's key of each layer (`layer-keys.ts`), the base first. */
  readonly layerKeys: readonly Digest[];
  /** Absolute paths of the unpacked layers, the base first; to be mounted in the reverse order. */
  readonly layers: readonly string[];
}
