/** The output of `inspect` for an image, with the fields and the order of `docker image inspect`. */

import type { ExecutionConfig, StoredImage } from '../oci.js';
import { familiar, familiarRepository, parseReference } from '../reference.js';
import type { Store } from '../store/store.js';

export interface ImageDetails {
  readonly Id: string;
  readonly RepoTags: readonly string[];
  readonly RepoDigests: readonly string[];
  readonly Comment: string;
  readonly Created: string;
  readonly Author: string;
  readonly Config: ExecutionConfig;
  readonly Architecture: string;
  readonly Variant?: string;
  readonly Os: string;
  /** Bytes. */
  readonly Size: number;
  readonly GraphDriver: GraphDriver;
  readonly RootFS: { readonly Type: 'layers'; readonly Layers: readonly string[] };
}

/** Directories of the layers. Only containers have MergedDir and WorkDir. */
export interface GraphDriver {
  readonly Name: string;
  readonly Data: {
    /** The top one first, separated by colons. */
    readonly LowerDir?: string;
    readonly UpperDir?: string;
    readonly MergedDir?: string;
    readonly WorkDir?: string;
  };
}

const DEFAULT_DRIVER = 'unionfs';

export function inspectImage(store: Store, image: StoredImage): ImageDetails {
  const { config, id, names, manifestDigest } = image;
  const repositories = new Set(names.map((name) => familiarRepository(parseReference(name))));
  return {
    Id: id,
    RepoTags: names.map(familiar),
    RepoDigests: [...repositories].map((repository) => `${repository}@${manifestDigest}`),
    Comment: config.history?.at(-1)?.comment ?? '',
    Created: config.created ?? '',
    Author: config.author ?? '',
    Config: config.config ?? {},
    Architecture: config.architecture,
    ...(config.variant !== undefined && { Variant: config.variant }),
    Os: config.os,
    Size: store.sizeOf(image),
    GraphDriver: { Name: DEFAULT_DRIVER, Data: directories(image.layers) },
    RootFS: { Type: 'layers', Layers: config.rootfs.diff_ids },
  };
}

function directories(layers: readonly string[]): GraphDriver['Data'] {
  const [top, ...lowers] = [...layers].reverse();
  return {
    ...(lowers.length > 0 && { LowerDir: lowers.join(':') }),
    ...(top !== undefined && { UpperDir: top }),
  };
}
