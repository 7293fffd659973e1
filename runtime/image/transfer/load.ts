/**
 * `load`: copies the images of an archive (file or directory) to the store.
 *
 * Rule: a file with `oci-layout` and `index.json` is an OCI layout, even if it also has Docker's `manifest.json`
 * (Docker 25 and later); a file with only `manifest.json` is a docker archive.
 */
import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { Readable } from 'node:stream';
import { UsageError } from '../../../fs/index.js';
import { quoted } from '../../../fs/input/shown.js';
import { DockerArchiveSource } from '../archive/docker-source.js';
import { DirectoryFiles } from '../files/directory-files.js';
import type { ImageFiles } from '../files/image-files.js';
import { openInput } from '../files/input.js';
import { readArchive } from '../files/tar-files.js';
import { UNPACK_LIMITS } from '../layer/unpack.js';
import { LayoutSource } from '../layout/layout-source.js';
import type { Image } from '../manifest.js';
import { otherPlatform } from '../platform.js';
import { familiar } from '../reference.js';
import type { Candidate, ImageSource } from '../source.js';
import type { Store } from '../store/store.js';
import type { WriteOptions, Writer } from '../store/writer.js';
import { type CopiedImage, copyImages } from './copy.js';

export interface LoadOptions extends WriteOptions {
  /** Called with the number of bytes of the archive that were read. */
  readonly onBytes?: (bytes: number) => void;
  /** Called with warnings, one line each: skipped entries, and images of other platforms. */
  readonly onWarning?: (message: string) => void;
}

/** Adds the images of an archive, a file or a directory, to the store: all of them or none. Throws `UsageError`. */
export async function loadPath(
  store: Store,
  path: string,
  options: LoadOptions = {},
): Promise<CopiedImage[]> {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw new UsageError(`${quoted(path)} does not exist`);
  const title = basename(path).replace(/\.(tar|tgz|tzst)?(\.\w+)?$/, '');
  if (!stat.isDirectory()) return loadStream(store, openInput(path), options, title);
  return store.write(
    async (writer) => load(new DirectoryFiles(path, writer.blobs), writer, title, options),
    options,
  );
}

/** The same for a stream. @param title the repository of images that have only a tag */
export async function loadStream(
  store: Store,
  stream: Readable,
  options: LoadOptions = {},
  title = '',
): Promise<CopiedImage[]> {
  return store.write(async (writer) => {
    const files = await readArchive(counted(stream, options.onBytes), writer.blobs, options.limits);
    return load(files, writer, title, options);
  }, options);
}

function counted(stream: Readable, onBytes: LoadOptions['onBytes']): Readable {
  if (onBytes === undefined) return stream;
  return Readable.from(count(stream, onBytes), { objectMode: false });
}

async function* count(stream: Readable, onBytes: (bytes: number) => void): AsyncGenerator<Buffer> {
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    onBytes(chunk.length);
    yield chunk;
  }
}

function load(
  files: ImageFiles,
  writer: Writer,
  title: string,
  { limits, onWarning = () => {} }: LoadOptions,
): Promise<CopiedImage[]> {
  return copyImages(sourceOf(files, writer, title, limits), writer, [], {
    onImage: (image, candidate) => {
      const warning = platformWarning(image, candidate);
      if (warning !== undefined) onWarning(warning);
    },
    onArtifact: (what, type) => onWarning(`skipped, not an image: ${quoted(what)} is ${quoted(type)}`),
  });
}

function sourceOf(
  files: ImageFiles,
  writer: Writer,
  title: string,
  limits: LoadOptions['limits'],
): ImageSource {
  if (files.has('oci-layout') && files.has('index.json')) return new LayoutSource(files, title);
  if (!files.has('manifest.json'))
    throw new UsageError('not an image archive: it contains neither "manifest.json" nor "index.json"');
  return new DockerArchiveSource({
    files,
    spool: writer.blobs,
    manifestOf: (config) => writer.manifestOf(config),
    maxLayerBytes: { ...UNPACK_LIMITS, ...limits }.maxBytes,
  });
}

/** The warning about an image of another platform. */
function platformWarning({ config }: Image, { what, names: [name] }: Candidate): string | undefined {
  const difference = otherPlatform(config);
  return difference && `${quoted(name === undefined ? what : familiar(name))} ${difference}`;
}
