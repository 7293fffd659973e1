/**
 * Creates images: a new layer on top of an image, or the first layer.
 *
 * Rule: the layer is stored as an uncompressed tar, so that its digest is its diffID and the same change always gives the
 * same layer; the time of the image is SOURCE_DATE_EPOCH where that is set (reproducible-builds.org).
 */
import type { Readable } from 'node:stream';
import { UsageError } from '../../../fs/index.js';
import { decompress } from '../layer/compression.js';
import { encodeManifest, parseImage } from '../manifest.js';
import {
  type Digest,
  type ExecutionConfig,
  type History,
  type ImageConfig,
  MEDIA_TYPE,
  type StoredImage,
} from '../oci.js';
import { HOST } from '../platform.js';
import type { Writer } from '../store/writer.js';

export interface NewImage {
  /** The base image. */
  readonly base?: StoredImage;
  /** The new layer, compressed or not. */
  readonly layer: Readable;
  readonly execution: ExecutionConfig;
  /** The history entry of the layer. */
  readonly step: Pick<History, 'created_by' | 'comment'>;
  readonly author?: string;
  /** Full names. */
  readonly names: readonly string[];
}

const MS_PER_SECOND = 1000;

/** RFC 3339. Throws `UsageError` if SOURCE_DATE_EPOCH is invalid. */
export function creationTime(): string {
  const { SOURCE_DATE_EPOCH } = process.env;
  const time =
    SOURCE_DATE_EPOCH === undefined ? new Date() : new Date(Number(SOURCE_DATE_EPOCH) * MS_PER_SECOND);
  if (Number.isNaN(time.getTime()))
    throw new UsageError(`invalid SOURCE_DATE_EPOCH "${SOURCE_DATE_EPOCH}": use a number of seconds`);
  return time.toISOString();
}

/** Adds an image. @returns its ID */
export async function buildImage(writer: Writer, image: NewImage): Promise<Digest> {
  const created = creationTime();
  const { stream } = await decompress(image.layer, 'the tar');
  const layer = await writer.blobs.add(stream);
  const configuration = Buffer.from(JSON.stringify(configOf(image, layer.digest, created)));
  const config = writer.blobs.addBytes(configuration);
  const manifest = encodeManifest({ mediaType: MEDIA_TYPE.CONFIG, ...config }, [
    ...(image.base?.manifest.layers ?? []),
    { mediaType: MEDIA_TYPE.LAYER, ...layer },
  ]);
  await writer.image(parseImage(manifest, configuration), image.names);
  return config.digest;
}

function configOf({ base, execution, step, author }: NewImage, diffId: Digest, created: string): ImageConfig {
  const architecture = base?.config.architecture || HOST.architecture;
  const os = base?.config.os || HOST.os;
  const variant = base?.config.variant;
  const authored = author === undefined ? {} : { author };
  return {
    created,
    ...authored,
    architecture,
    os,
    ...(variant !== undefined && { variant }),
    config: execution,
    rootfs: { type: 'layers', diff_ids: [...(base?.config.rootfs.diff_ids ?? []), diffId] },
    history: [...(base?.config.history ?? []), { created, ...authored, ...step }],
  };
}
