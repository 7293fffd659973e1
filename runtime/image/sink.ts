/**
 * Where images go: archives, OCI layouts, the store, registries.
 *
 * Rules: a sink is given an image's blobs, those it does not have, and then the image, whose blobs are all there by then.
 * What it is given was compared with its descriptor, or fails before its end if it differs: a sink keeps nothing of a
 * stream that fails. Compare types.ImageDestination in containers/image and content.Storage in oras-go.
 */
import type { Readable } from 'node:stream';
import type { Image } from './manifest.js';
import type { Descriptor } from './oci.js';

/** The bytes of a blob. */
export interface Content {
  /** What they are, for messages. */
  readonly what: string;
  /** A stream that fails before its end if the bytes are not those of the descriptor. May be called again, or never. */
  open(): Promise<Readable>;
}

export interface ImageSink {
  /** Whether a blob is there, or was given, so that nobody has to read it. */
  has(blob: Descriptor): boolean | Promise<boolean>;
  /** Takes a blob; at once, or by the time the sink is closed, as long as the source is open. */
  blob(blob: Descriptor, content: Content): Promise<void>;
  /** Takes an image and gives it full names, which it takes from others. */
  image(image: Image, names: readonly string[]): Promise<void>;
}
