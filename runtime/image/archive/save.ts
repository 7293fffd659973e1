/**
 * `save`: images as one archive.
 *
 * Rules: the same images give the same bytes: no times, no owners, a fixed order. Layers that images share are written
 * once. A docker archive has what version 1.2 describes (manifest.json, repositories, and per layer a directory with
 * VERSION, json and layer.tar) with layers uncompressed, as `docker save` wrote it; an OCI layout has the stored blobs.
 * Everything is compared with its digest while it is written: a damaged store gives no archive.
 * Compare moby's image/spec/v1.2.md and image/tarexport/save.go, and image-layout.md.
 */
import { statSync } from 'node:fs';
import { pipeline, type Readable } from 'node:stream';
import { decompress } from '../layer/compression.js';
import { type Descriptor, type Digest, type ImageConfig, MEDIA_TYPE, type StoredImage } from '../oci.js';
import { DEFAULT_TAG, familiar, familiarRepository, hexOf, parseReference } from '../reference.js';
import { FULL_NAME_ANNOTATION, NAME_ANNOTATION } from '../store/index-file.js';
import type { Store } from '../store/store.js';
import { digestOf, Verifier } from '../verify.js';
import type { ArchiveEntry } from './archive-tar.js';

/** An image to be saved, with the full names it is saved under. */
export interface Saved {
  readonly image: StoredImage;
  readonly names: readonly string[];
}

const LAYOUT = '{"imageLayoutVersion":"1.0.0"}';
const ALGORITHM = 'sha256:'.length;

const text = (name: string, content: string): ArchiveEntry => {
  const bytes = Buffer.from(content);
  return { type: 'file', name, size: bytes.length, open: () => bytes };
};

const directory = (name: string): ArchiveEntry => ({ type: 'directory', name: `${name}/` });

// --- OCI layout

/** The files of an OCI layout. */
export function ociEntries(store: Store, images: readonly Saved[]): ArchiveEntry[] {
  const documents = images.flatMap(({ image: { id, manifestDigest } }) => [manifestDigest, id]);
  const layers = images.flatMap(({ image: { manifest } }) => manifest.layers);
  const blobs = new Map<Digest, ArchiveEntry>([
    ...layers.map((layer) => [layer.digest, layerEntry(store, layer)] as const),
    ...documents.map((digest) => [digest, documentEntry(store, nameOfBlob(digest), digest)] as const),
  ]);
  const files = [...blobs.keys()].sort().map((digest) => blobs.get(digest) as ArchiveEntry);
  const manifests = images.flatMap((saved) => descriptors(store, saved));
  return [
    directory('blobs'),
    directory('blobs/sha256'),
    ...files,
    text('index.json', JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.INDEX, manifests })),
    text('oci-layout', LAYOUT),
  ];
}

const nameOfBlob = (digest: Digest): string => `blobs/sha256/${hexOf(digest)}`;

const layerEntry = (store: Store, blob: Descriptor): ArchiveEntry => ({
  type: 'file',
  name: nameOfBlob(blob.digest),
  size: blob.size,
  open: () => store.layout.streamBlob(blob),
});

function documentEntry(store: Store, name: string, digest: Digest): ArchiveEntry {
  const bytes = store.layout.readBlob(digest);
  return { type: 'file', name, size: bytes.length, open: () => bytes };
}

/** One descriptor per name; one without, if there is none. */
function descriptors(store: Store, { image, names }: Saved): Descriptor[] {
  const { size } = statSync(store.layout.blobPath(image.manifestDigest));
  const { mediaType = MEDIA_TYPE.MANIFEST } = image.manifest;
  const descriptor = { mediaType, digest: image.manifestDigest, size };
  if (names.length === 0) return [descriptor];
  return names.map((name) => ({
    ...descriptor,
    annotations: { [FULL_NAME_ANNOTATION]: name, [NAME_ANNOTATION]: name },
  }));
}

// --- docker archive

/** The files of a docker archive. */
export function dockerEntries(store: Store, images: readonly Saved[]): ArchiveEntry[] {
  const archive = new DockerArchive(store);
  const manifest = images.map((saved) => archive.add(saved));
  return [
    ...archive.entries,
    text('manifest.json', JSON.stringify(manifest)),
    text('repositories', JSON.stringify(archive.repositories)),
  ];
}

class DockerArchive {
  readonly repositories: Record<string, Record<string, string>> = {};
  readonly #entries = new Map<string, ArchiveEntry>();
  /** Where each layer's tar is in the archive. */
  readonly #tars = new Map<Digest, string>();
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  get entries(): readonly ArchiveEntry[] {
    return [...this.#entries.values()];
  }

  /** Adds an image; what manifest.json says of it. */
  add({ image, names }: Saved): { Config: string; RepoTags: string[] | null; Layers: string[] } {
    const { config, id } = image;
    const Config = `${hexOf(id)}.json`;
    this.#put(documentEntry(this.#store, Config, id));
    const ids = legacyIds(image);
    const Layers = config.rootfs.diff_ids.map((_, at) => this.#layer(image, ids, at));
    const top = ids.at(-1);
    if (top !== undefined) for (const name of names) this.#register(name, top);
    const RepoTags = names.length === 0 ? null : names.map(familiar);
    return { Config, RepoTags, Layers };
  }

  #register(name: string, layer: string): void {
    const reference = parseReference(name);
    const repository = familiarRepository(reference);
    this.repositories[repository] = {
      ...this.repositories[repository],
      [reference.tag ?? DEFAULT_TAG]: layer,
    };
  }

  #put(entry: ArchiveEntry): void {
    if (!this.#entries.has(entry.name)) this.#entries.set(entry.name, entry);
  }

  /** Adds the directory of one layer; the name of the layer's tar, which may be in another one. */
  #layer(image: StoredImage, ids: readonly string[], at: number): string {
    const [id = '', parent] = [ids[at], ids[at - 1]];
    const diffId = image.config.rootfs.diff_ids[at] as Digest;
    const isTop = at === ids.length - 1;
    this.#put(directory(id));
    this.#put(text(`${id}/VERSION`, '1.0'));
    this.#put(text(`${id}/json`, JSON.stringify(legacyConfig(id, parent, isTop ? image.config : undefined))));
    const name = `${id}/layer.tar`;
    const first = this.#tars.get(diffId);
    if (first !== undefined) {
      if (first !== name) this.#put({ type: 'symlink', name, target: `../${first}` });
      return first;
    }
    this.#tars.set(diffId, name);
    const { digest } = image.manifest.layers[at] as Descriptor;
    const size = this.#store.layout.layerSize(image.layerKeys[at] as Digest).tar;
    this.#put({
      type: 'file',
      name,
      size,
      open: () => uncompressed(this.#store, digest, { digest: diffId, size }),
    });
    return name;
  }
}

/**
 * The IDs that layers had before images were content-addressed: each names a layer upon those below it, and the top
 * one the image as well (v1.CreateID in moby).
 */
function legacyIds({ id, config }: StoredImage): string[] {
  const ids: string[] = [];
  for (const [at, layer] of config.rootfs.diff_ids.entries()) {
    const isTop = at === config.rootfs.diff_ids.length - 1;
    const named = { layer, parent: ids.at(-1) ?? null, ...(isTop && { image: id }) };
    ids.push(digestOf(JSON.stringify(named)).slice(ALGORITHM));
  }
  return ids;
}

const EPOCH = '1970-01-01T00:00:00Z';

/** The `json` of a layer: the whole configuration is in the top one's. */
function legacyConfig(id: string, parent: string | undefined, top: ImageConfig | undefined): object {
  const inherited = parent === undefined ? { id } : { id, parent };
  if (top === undefined) return { ...inherited, created: EPOCH, os: 'linux' };
  const { rootfs: _, history: __, ...config } = top;
  return { ...inherited, created: EPOCH, ...config };
}

/** The layer in a blob, compared with its diffID. */
async function uncompressed(
  store: Store,
  blob: Digest,
  layer: { digest: Digest; size: number },
): Promise<Readable> {
  const what = `the store "${store.root}" is damaged: layer "${blob}"`;
  const { stream } = await decompress(store.layout.openBlob(blob), what);
  const verifier = new Verifier({ ...layer, what: `${what}, uncompressed,` });
  pipeline(stream, verifier, () => {}); // who reads hears of a failure
  return verifier;
}
