/**
 * The data of the OCI image specification v1.1, and what Docker adds to it.
 *
 * Rule: field names are the specification's. These types say what a checked document looks like; documents from
 * outside are checked before they get one (`manifest.ts`).
 */

/** "sha256:" and 64 lower-case hexadecimal digits (descriptor.md, "Digests"). */
export type Digest = `sha256:${string}`;

/** descriptor.md */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: Platform;
}

export interface Platform {
  readonly architecture: string;
  readonly os: string;
  readonly variant?: string;
}

/** image-index.md */
export interface Index {
  readonly schemaVersion: 2;
  readonly mediaType?: string;
  readonly manifests: readonly Descriptor[];
}

/** manifest.md */
export interface Manifest {
  readonly schemaVersion: 2;
  readonly mediaType?: string;
  readonly config: Descriptor;
  /** Base first. */
  readonly layers: readonly Descriptor[];
  readonly annotations?: Readonly<Record<string, string>>;
}

/** The execution parameters of config.md. */
export interface ExecutionConfig {
  readonly User?: string;
  readonly ExposedPorts?: Readonly<Record<string, object>>;
  /** NAME=VALUE. */
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[] | null;
  readonly Cmd?: readonly string[] | null;
  readonly Volumes?: Readonly<Record<string, object>> | null;
  readonly WorkingDir?: string;
  readonly Labels?: Readonly<Record<string, string>> | null;
  readonly StopSignal?: string;
}

export interface History {
  /** RFC 3339. */
  readonly created?: string;
  readonly created_by?: string;
  readonly author?: string;
  readonly comment?: string;
  /** The step made no layer. */
  readonly empty_layer?: boolean;
}

/** config.md */
export interface ImageConfig {
  readonly created?: string;
  readonly author?: string;
  readonly architecture: string;
  readonly os: string;
  readonly variant?: string;
  readonly config?: ExecutionConfig;
  /** diffIDs: digests of the uncompressed layers, base first. */
  readonly rootfs: { readonly type: 'layers'; readonly diff_ids: readonly Digest[] };
  readonly history?: readonly History[];
}

export const MEDIA_TYPE = {
  INDEX: 'application/vnd.oci.image.index.v1+json',
  MANIFEST: 'application/vnd.oci.image.manifest.v1+json',
  CONFIG: 'application/vnd.oci.image.config.v1+json',
  LAYER: 'application/vnd.oci.image.layer.v1.tar',
  LAYER_GZIP: 'application/vnd.oci.image.layer.v1.tar+gzip',
  LAYER_ZSTD: 'application/vnd.oci.image.layer.v1.tar+zstd',
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
  /** Absolute paths of the unpacked layers, the base first; to be mounted in the reverse order. */
  readonly layers: readonly string[];
}
