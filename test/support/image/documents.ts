/** Images written by hand, document by document: docker archives and OCI layouts that no tool would write. */
import { readFileSync } from 'node:fs';
import { digestOf } from '../../../runtime/image/verify.js';
import { archive, type Fields } from './archive.js';

export type Json = Record<string, unknown>;

export const TYPE = {
  INDEX: 'application/vnd.oci.image.index.v1+json',
  MANIFEST: 'application/vnd.oci.image.manifest.v1+json',
  CONFIG: 'application/vnd.oci.image.config.v1+json',
  LAYER: 'application/vnd.oci.image.layer.v1.tar',
} as const;

const BUSYBOX = '/bin/busybox';
const APPLETS = ['sh', 'env', 'true', 'id', 'pwd', 'ls', 'test', 'cat', 'hostname'];

/** A layer with a shell. @param entries more of it */
export const shellLayer = (...entries: readonly Fields[]): Buffer =>
  archive(
    { name: 'bin', flag: '5', mode: 0o755 },
    { name: 'bin/busybox', mode: 0o755, data: readFileSync(BUSYBOX) },
    ...APPLETS.map((name) => ({ name: `bin/${name}`, flag: '2', linkName: 'busybox' })),
    ...entries,
  );

export const SMALL_LAYER = archive({ name: 'file', data: 'x' });

/** An image's configuration; undefined takes a field away. */
export const configOf = (layers: readonly Buffer[], execution: unknown = {}, more: Json = {}): Json => ({
  architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
  os: 'linux',
  config: execution,
  rootfs: { type: 'layers', diff_ids: layers.map(digestOf) },
  history: layers.map(() => ({ created_by: 'test' })),
  ...more,
});

const textOf = (document: unknown): Buffer =>
  Buffer.isBuffer(document)
    ? document
    : Buffer.from(typeof document === 'string' ? document : JSON.stringify(document));

/** A docker archive of one image; its documents are JSON or text. */
export function dockerArchive(layers: readonly Buffer[], config: unknown, manifest: Json = {}): Buffer {
  const names = layers.map((layer) => `${digestOf(layer).slice(7)}.tar`);
  const described = [{ Config: 'config.json', RepoTags: ['t:1'], Layers: names, ...manifest }];
  return archive(
    { name: 'config.json', data: textOf(config) },
    ...layers.map((data, at) => ({ name: names[at] ?? '', data })),
    { name: 'manifest.json', data: textOf(described) },
  );
}

/** An OCI layout as a tar. */
export class LayoutArchive {
  readonly #blobs = new Map<string, Buffer>();

  /** Adds a blob; its descriptor. */
  blob(document: unknown, mediaType: string, more: Json = {}): Json {
    const bytes = textOf(document);
    const digest = digestOf(bytes);
    this.#blobs.set(digest.slice(7), bytes);
    return { mediaType, digest, size: bytes.length, ...more };
  }

  /** Adds an image; its manifest's descriptor. */
  image(
    layers: readonly Buffer[],
    {
      config = configOf(layers),
      layerType = TYPE.LAYER,
      manifest = {},
      more = {},
    }: {
      config?: unknown;
      layerType?: string;
      manifest?: Json;
      more?: Json;
    } = {},
  ): Json {
    const document = {
      schemaVersion: 2,
      mediaType: TYPE.MANIFEST,
      config: this.blob(config, TYPE.CONFIG),
      layers: layers.map((layer) => this.blob(layer, layerType)),
      ...manifest,
    };
    return this.blob(document, TYPE.MANIFEST, more);
  }

  /** An artifact: a manifest whose configuration and layer are of other types. */
  artifact(type: string, more: Json = {}): Json {
    const document = {
      schemaVersion: 2,
      mediaType: TYPE.MANIFEST,
      artifactType: type,
      config: this.blob('{}', 'application/vnd.oci.empty.v1+json'),
      layers: [this.blob('signature', 'text/plain')],
    };
    return this.blob(document, TYPE.MANIFEST, more);
  }

  index(manifests: readonly unknown[], more: Json = {}): Json {
    return this.blob({ schemaVersion: 2, mediaType: TYPE.INDEX, manifests }, TYPE.INDEX, more);
  }

  without(descriptor: Json): this {
    this.#blobs.delete(String(descriptor['digest']).slice(7));
    return this;
  }

  /** @param index the entries of index.json, or all of it */
  tar(index: readonly unknown[] | Json | string, layout: unknown = { imageLayoutVersion: '1.0.0' }): Buffer {
    const document = Array.isArray(index) ? { schemaVersion: 2, manifests: index } : index;
    return archive(
      { name: 'oci-layout', data: textOf(layout) },
      { name: 'index.json', data: textOf(document) },
      ...[...this.#blobs].map(([hex, data]) => ({ name: `blobs/sha256/${hex}`, data })),
    );
  }
}

/** The annotation that names an image of a layout. */
export const named = (name: string): Json => ({
  annotations: { 'org.opencontainers.image.ref.name': name },
});
