/**
 * The files of an image archive, whether it is a tar stream or a directory.
 *
 * Rules: links are followed within the archive only. What has the name of a layout's blob has its digest, or is refused.
 */
import { posix } from 'node:path';
import type { Readable } from 'node:stream';
import { UsageError } from '../../../fs/index.js';
import type { Digest } from '../digest.js';
import { MAX_DOCUMENT_BYTES } from '../manifest.js';
import type { Blob } from '../oci.js';
import type { Expected } from '../verify.js';

export interface ImageFiles {
  has(name: string): boolean;
  /** A small file. Throws `UsageError` if it is missing or too large. */
  document(name: string): Promise<Buffer>;
  /** A file's bytes. Throws `UsageError` if it is missing. */
  open(name: string): Promise<Readable>;
  /** Puts a file into the spool, unless it is there. Throws `UsageError` if it is missing. */
  spooled(name: string): Promise<Blob>;
}

const BLOB_NAME = /^blobs\/sha256\/([0-9a-f]{64})$/;

/** The digest that the name of a layout's blob promises. */
export function promised(name: string): Digest | undefined {
  const hex = BLOB_NAME.exec(name)?.[1];
  return hex === undefined ? undefined : `sha256:${hex}`;
}

export const expectation = (name: string): Expected => {
  const digest = promised(name);
  return { what: `"${name}"`, ...(digest !== undefined && { digest }) };
};

export const missing = (name: string): UsageError => new UsageError(`the archive does not contain "${name}"`);

export const tooLarge = (name: string, size: number): UsageError =>
  new UsageError(`"${name}" has ${size} bytes; the limit is ${MAX_DOCUMENT_BYTES}`);

/** A name without "./" and the like; it cannot lead out of the archive, because it only looks up what is in it. */
export const canonical = (name: string): string => posix.normalize(`/${name}`).replace(/^\/|\/$/g, '');
