/**
 * Documents from outside become the types of `oci.ts`, or an error that names the document and the field.
 *
 * Rules: a document is bounded in size before it is parsed. Only fields that are used are checked; others are kept in
 * the blob and ignored. Docker's media types (image manifest version 2, schema 2) mean what OCI's mean. Compare
 * manifest.md and config.md of the OCI image specification.
 */
import { UsageError } from '../../fs/index.js';
import {
  type Descriptor,
  type Digest,
  type ImageConfig,
  type Index,
  type Manifest,
  MEDIA_TYPE,
} from './oci.js';
import { isDigest } from './reference.js';

/** Registries refuse larger manifests (distribution specification, "Pushing Manifests"). */
export const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;
const MAX_LAYERS = 4096;

const DOCKER = 'application/vnd.docker.';
const MAPPED: Readonly<Record<string, string>> = {
  [`${DOCKER}distribution.manifest.list.v2+json`]: MEDIA_TYPE.INDEX,
  [`${DOCKER}distribution.manifest.v2+json`]: MEDIA_TYPE.MANIFEST,
  [`${DOCKER}container.image.v1+json`]: MEDIA_TYPE.CONFIG,
  [`${DOCKER}image.rootfs.diff.tar`]: MEDIA_TYPE.LAYER,
  [`${DOCKER}image.rootfs.diff.tar.gzip`]: MEDIA_TYPE.LAYER_GZIP,
  [`${DOCKER}image.rootfs.diff.tar.zstd`]: MEDIA_TYPE.LAYER_ZSTD,
};
const LAYER_TYPES: readonly string[] = [MEDIA_TYPE.LAYER, MEDIA_TYPE.LAYER_GZIP, MEDIA_TYPE.LAYER_ZSTD];

const asOci = (mediaType: string): string => MAPPED[mediaType] ?? mediaType;

type Fields = Readonly<Record<string, unknown>>;

/** A JSON document's checked fields; `what` names it in messages. */
class Document {
  readonly #fields: Fields;
  readonly #what: string;

  constructor(value: unknown, what: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new UsageError(`${what} is no JSON object`);
    }
    this.#fields = value as Fields;
    this.#what = what;
  }

  fail(field: string, expected: string): never {
    const value = JSON.stringify(this.#fields[field]) ?? 'nothing';
    throw new UsageError(`${this.#what}: "${field}" must be ${expected}, not ${value.slice(0, 80)}`);
  }

  has(field: string): boolean {
    return this.#fields[field] !== undefined && this.#fields[field] !== null;
  }

  value(field: string): unknown {
    return this.#fields[field];
  }

  text(field: string): string {
    const value = this.#fields[field];
    return typeof value === 'string' ? value : this.fail(field, 'a string');
  }

  optionalText(field: string): void {
    if (this.has(field)) this.text(field);
  }

  count(field: string): number {
    const value = this.#fields[field];
    return Number.isSafeInteger(value) && (value as number) >= 0
      ? (value as number)
      : this.fail(field, 'a number of bytes');
  }

  digest(field: string): Digest {
    const value = this.#fields[field];
    return isDigest(value) ? value : this.fail(field, 'a sha256 digest');
  }

  list(field: string): readonly unknown[] {
    const value = this.#fields[field];
    return Array.isArray(value) ? value : this.fail(field, 'a list');
  }

  optionalTexts(field: string): void {
    if (!this.has(field)) return;
    if (!this.list(field).every((item) => typeof item === 'string')) this.fail(field, 'a list of strings');
  }

  child(field: string): Document {
    return new Document(this.#fields[field], `${this.#what}: "${field}"`);
  }

  optionalChild(field: string): Document | undefined {
    return this.has(field) ? this.child(field) : undefined;
  }

  optionalMap(field: string, type: 'string' | 'object'): void {
    const map = this.optionalChild(field);
    if (map !== undefined && !Object.values(map.#fields).every((value) => typeof value === type)) {
      this.fail(field, `an object of ${type}s`);
    }
  }
}

function parse(bytes: Buffer, what: string): unknown {
  if (bytes.length > MAX_DOCUMENT_BYTES) {
    throw new UsageError(`${what} has ${bytes.length} bytes; at most ${MAX_DOCUMENT_BYTES} are read`);
  }
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    throw new UsageError(`${what} is not JSON`);
  }
}

function checkDescriptor(document: Document): Descriptor {
  const mediaType = document.has('mediaType') ? asOci(document.text('mediaType')) : '';
  document.optionalMap('annotations', 'string');
  const platform = document.optionalChild('platform');
  platform?.text('architecture');
  platform?.text('os');
  platform?.optionalText('variant');
  return { mediaType, digest: document.digest('digest'), size: document.count('size') };
}

/** A descriptor with the fields that were checked, and its media type in OCI's words. */
function descriptor(value: unknown, what: string): Descriptor {
  const checked = checkDescriptor(new Document(value, what));
  const { annotations, platform } = value as Partial<Descriptor>;
  return { ...checked, ...(annotations && { annotations }), ...(platform && { platform }) };
}

/** Checks an image index. Throws `UsageError`. */
export function parseIndex(bytes: Buffer, what: string): Index {
  const document = new Document(parse(bytes, what), what);
  const manifests = document.list('manifests');
  return {
    schemaVersion: 2,
    manifests: manifests.map((value, at) => descriptor(value, `${what}: manifest ${at + 1}`)),
  };
}

/** Checks an image manifest; its own media type stays as it is written. Throws `UsageError`. */
export function parseManifest(bytes: Buffer, what: string): Manifest {
  const document = new Document(parse(bytes, what), what);
  if (!document.has('layers') || !document.has('config')) {
    throw new UsageError(`${what} is no image manifest of schema version 2`);
  }
  const layers = document.list('layers');
  if (layers.length > MAX_LAYERS)
    throw new UsageError(`${what} has ${layers.length} layers; at most ${MAX_LAYERS} are read`);
  const checked = layers.map((value, at) => descriptor(value, `${what}: layer ${at + 1}`));
  for (const layer of checked) {
    if (!LAYER_TYPES.includes(layer.mediaType))
      throw new UsageError(`${what} has a layer of unknown type "${layer.mediaType}"`);
  }
  const config = descriptor(document.value('config'), `${what}: config`);
  if (config.mediaType !== MEDIA_TYPE.CONFIG)
    throw new UsageError(`${what} describes no image but "${config.mediaType}"`);
  const mediaType = document.has('mediaType') ? document.text('mediaType') : MEDIA_TYPE.MANIFEST;
  return { schemaVersion: 2, mediaType, config, layers: checked };
}

/** Checks an image configuration. Throws `UsageError`. */
export function parseConfig(bytes: Buffer, what: string): ImageConfig {
  const value = parse(bytes, what);
  const document = new Document(value, what);
  for (const field of ['architecture', 'os']) document.text(field);
  for (const field of ['created', 'author', 'variant']) document.optionalText(field);
  const rootfs = document.child('rootfs');
  if (!rootfs.list('diff_ids').every(isDigest)) rootfs.fail('diff_ids', 'a list of sha256 digests');
  const execution = document.optionalChild('config');
  if (execution !== undefined) checkExecution(execution);
  if (document.has('history')) for (const step of document.list('history')) checkHistory(step, what);
  return value as ImageConfig;
}

function checkExecution(document: Document): void {
  for (const field of ['User', 'WorkingDir', 'StopSignal']) document.optionalText(field);
  for (const field of ['Env', 'Entrypoint', 'Cmd']) document.optionalTexts(field);
  document.optionalMap('Labels', 'string');
  document.optionalMap('ExposedPorts', 'object');
  document.optionalMap('Volumes', 'object');
}

function checkHistory(step: unknown, what: string): void {
  const document = new Document(step, `${what}: a step of the history`);
  for (const field of ['created', 'created_by', 'author', 'comment']) document.optionalText(field);
}

/** One image of a docker archive's manifest.json (moby image/spec/v1.2.md). */
export interface ArchivedImage {
  readonly config: string;
  readonly names: readonly string[];
  /** Files of the archive, the base first. */
  readonly layers: readonly string[];
}

/** Checks manifest.json of a docker archive. Throws `UsageError`. */
export function parseArchiveManifest(bytes: Buffer): ArchivedImage[] {
  const images = parse(bytes, 'manifest.json');
  if (!Array.isArray(images)) throw new UsageError('manifest.json is no list of images');
  return images.map((image) => {
    const document = new Document(image, 'manifest.json');
    for (const field of ['RepoTags', 'Layers']) document.optionalTexts(field);
    const texts = (field: string): string[] =>
      document.has(field) ? (document.list(field) as string[]) : [];
    return { config: document.text('Config'), names: texts('RepoTags'), layers: texts('Layers') };
  });
}
