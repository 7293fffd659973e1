/**
 * A docker archive as a sink.
 *
 * Rules: what version 1.2 describes (manifest.json, repositories, and per layer a directory with VERSION, json and
 * layer.tar), with layers uncompressed, as `docker save` wrote it. The same images give the same bytes: no times, no
 * owners, images in the order of copying, shared layers once. The tar is read from the sources while it is written,
 * and each layer is verified against its diffID. Compare moby's image/spec/v1.2.md and image/tarexport/save.go.
 */
import { pipeline, type Readable } from 'node:stream';
import { decompress } from '../layer/compression.js';
import type { Image } from '../manifest.js';
import type { Blob, Descriptor, Digest, ImageConfig } from '../oci.js';
import { DEFAULT_TAG, familiar, familiarRepository, hexOf, parseReference } from '../reference.js';
import type { Content, ImageSink } from '../sink.js';
import { type ArchiveEntry, directoryEntry, tarOf, textEntry } from '../tar/archive-tar.js';
import { digestOf, Verifier } from '../verify.js';

/** An image of manifest.json. */
interface ArchivedImage {
  readonly Config: string;
  readonly RepoTags: string[] | null;
  readonly Layers: string[];
}

export class DockerArchiveSink implements ImageSink {
  readonly #images: ArchivedImage[] = [];
  readonly #repositories: Record<string, Record<string, string>> = {};
  readonly #contents = new Map<Digest, Content>();
  readonly #entries = new Map<string, ArchiveEntry>();
  /** Where each layer's tar is in the archive, by its diffID. */
  readonly #tars = new Map<Digest, string>();
  readonly #tarSizes: (config: ImageConfig) => readonly number[];

  /** @param tarSizes uncompressed sizes of an image's layers in bytes, which a tar header contains */
  constructor(tarSizes: (config: ImageConfig) => readonly number[]) {
    this.#tarSizes = tarSizes;
  }

  has({ digest }: Descriptor): boolean {
    return this.#contents.has(digest);
  }

  async blob({ digest }: Descriptor, content: Content): Promise<void> {
    this.#contents.set(digest, content);
  }

  #content(digest: Digest): Content {
    const content = this.#contents.get(digest);
    if (content === undefined) throw new Error(`an image came before its blob "${digest}"`);
    return content;
  }

  async image(image: Image, names: readonly string[]): Promise<void> {
    const { digest, size } = image.manifest.config;
    const Config = `${hexOf(digest)}.json`;
    const content = this.#content(digest);
    this.#put({ type: 'file', name: Config, size, open: () => content.open() });
    const ids = legacyIds(digest, image.config);
    const sizes = this.#tarSizes(image.config);
    const Layers = ids.map((_, at) => this.#layer(image, ids, at, sizes[at] as number));
    const top = ids.at(-1);
    if (top !== undefined) for (const name of names) this.#register(name, top);
    const RepoTags = names.length === 0 ? null : names.map(familiar);
    this.#images.push({ Config, RepoTags, Layers });
  }

  #register(name: string, layer: string): void {
    const reference = parseReference(name);
    const repository = familiarRepository(reference);
    this.#repositories[repository] = {
      ...this.#repositories[repository],
      [reference.tag ?? DEFAULT_TAG]: layer,
    };
  }

  #put(entry: ArchiveEntry): void {
    if (!this.#entries.has(entry.name)) this.#entries.set(entry.name, entry);
  }

  /** Adds the directory of one layer; the name of the layer's tar, which may be in another one. */
  #layer({ manifest, config }: Image, ids: readonly string[], at: number, size: number): string {
    const [id = '', parent] = [ids[at], ids[at - 1]];
    const digest = config.rootfs.diff_ids[at] as Digest;
    const isTop = at === ids.length - 1;
    this.#put(directoryEntry(id));
    this.#put(textEntry(`${id}/VERSION`, '1.0'));
    this.#put(textEntry(`${id}/json`, JSON.stringify(legacyConfig(id, parent, isTop ? config : undefined))));
    const name = `${id}/layer.tar`;
    const first = this.#tars.get(digest);
    if (first !== undefined) {
      if (first !== name) this.#put({ type: 'symlink', name, target: `../${first}` });
      return first;
    }
    this.#tars.set(digest, name);
    const content = this.#content((manifest.layers[at] as Descriptor).digest);
    this.#put({ type: 'file', name, size, open: () => uncompressed(content, { digest, size }) });
    return name;
  }

  /** The whole archive. */
  tar(): Readable {
    return tarOf([
      ...this.#entries.values(),
      textEntry('manifest.json', JSON.stringify(this.#images)),
      textEntry('repositories', JSON.stringify(this.#repositories)),
    ]);
  }
}

const ALGORITHM = 'sha256:'.length;

/**
 * The IDs that layers had before images were content-addressed: each names a layer upon those below it, and the top
 * one the image as well (v1.CreateID in moby).
 */
function legacyIds(image: Digest, { rootfs: { diff_ids } }: ImageConfig): string[] {
  const ids: string[] = [];
  for (const [at, layer] of diff_ids.entries()) {
    const isTop = at === diff_ids.length - 1;
    const named = { layer, parent: ids.at(-1) ?? null, ...(isTop && { image }) };
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

/** The uncompressed layer of a blob, verified against its diffID. */
async function uncompressed({ what, open }: Content, layer: Blob): Promise<Readable> {
  const { stream } = await decompress(await open(), what);
  const verifier = new Verifier({ ...layer, what: `${what}, uncompressed,` });
  pipeline(stream, verifier, () => {}); // the reader gets the error
  return verifier;
}
