/**
 * The image store: content-addressed, shared by all processes of a user, and by nodes that share a home directory.
 *
 * Rules, for whom several do something at once:
 * - Readers take no lock (`layout.ts`).
 * - Who adds, or uses what is there without having recorded it yet, holds `lock` shared: nothing is removed meanwhile.
 *   Who removes holds it exclusively.
 * - `index.lock` is held for moments: while the index is replaced and while workspaces are made, closed and cleared.
 *
 * Compare containers/storage (layers.json, images.json and their locks) and the OCI image layout.
 */
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { listRecords } from '../container/containers.js';
import { imagesOf, withImage, withoutManifests, withoutName } from './index-file.js';
import { Layout } from './layout.js';
import { type LockMode, withLock } from './lock.js';
import type { Digest, Index, StoredImage } from './oci.js';
import { requireWritable, storeRoot } from './place.js';
import { formatReference, hexOf, parseTag } from './reference.js';
import { searchImage } from './search.js';
import { clearDeadWorkspaces, Workspace } from './workspace.js';
import type { WriteOptions, Writer } from './writer.js';

const PRIVATE = 0o700;
const LAYOUT_VERSION = '{"imageLayoutVersion":"1.0.0"}';

/** What a removal did. */
export interface Removal {
  /** Full names. */
  readonly untagged: readonly string[];
  /** Images, by their ID. */
  readonly images: readonly Digest[];
  /** Layers, by their diffID. */
  readonly layers: readonly Digest[];
  /** Bytes. */
  readonly freed: number;
}

export class Store {
  readonly layout: Layout;

  private constructor(root: string) {
    this.layout = new Layout(root);
  }

  /** The store at `root`; nothing is made before something is added. Default: see `storeRoot`. */
  static open(root: string = storeRoot()): Store {
    return new Store(root);
  }

  get root(): string {
    return this.layout.root;
  }

  // --- reading

  /** Every image, in the order they were added. */
  list(): StoredImage[] {
    return this.layout.consistently((index) =>
      imagesOf(index).map((entry) => this.layout.image(index, entry)),
    );
  }

  /** The image with this name, digest, ID or beginning of an ID. Throws `UsageError` if there is not just one. */
  find(text: string): StoredImage {
    return this.layout.consistently((index) => searchImage(this.layout, index, text));
  }

  /** Where the layer with this diffID lies unpacked. */
  layerDirectory(diffId: Digest): string {
    return this.layout.layerDirectory(diffId);
  }

  /** Bytes of the files in an image's layers. */
  sizeOf({ config }: StoredImage): number {
    return config.rootfs.diff_ids.reduce((sum, diffId) => sum + this.layout.layerSize(diffId).bytes, 0);
  }

  // --- writing

  /** Runs `use` while nothing is removed from the store: a container's record can be written for what was found. */
  async hold<T>(use: () => Promise<T> | T): Promise<T> {
    return existsSync(this.root) ? this.#locked('shared', use) : use();
  }

  /** Adds what `use` adds, all of it or, if it throws, nothing. */
  async write<T>(use: (writer: Writer) => Promise<T>, options: WriteOptions = {}): Promise<T> {
    const { Writer } = await import('./writer.js'); // who only reads does without all that unpacks
    return this.#locked('shared', () =>
      this.#inWorkspace(async (workspace) => {
        const writer = new Writer(this.layout, workspace, options);
        const result = await use(writer);
        if (writer.additions.length === 0) return result;
        writer.publish();
        await this.#updateIndex(workspace, (index) =>
          writer.additions.reduce((before, { manifest, names }) => withImage(before, manifest, names), index),
        );
        return result;
      }),
    );
  }

  /** Gives an image one more name; it is taken from whatever has it. Throws `UsageError`. */
  async tag(text: string, name: string): Promise<void> {
    const full = formatReference(parseTag(name));
    this.find(text);
    await this.#locked('shared', () =>
      this.#inWorkspace((workspace) => {
        const { manifest, manifestDigest } = this.find(text);
        const size = statSync(this.layout.blobPath(manifestDigest)).size;
        const { mediaType = '' } = manifest;
        const entry = { mediaType, digest: manifestDigest, size };
        return this.#updateIndex(workspace, (index) => withImage(index, entry, [full]));
      }),
    );
  }

  /**
   * Removes what `choose` names from the index, and then whatever no image and no container needs any more.
   * @param choose sees the images while nobody changes them; throws `UsageError` to refuse
   */
  async remove(choose: (images: readonly StoredImage[]) => Choice): Promise<Removal> {
    if (!existsSync(this.root)) {
      choose([]);
      return { untagged: [], images: [], layers: [], freed: 0 };
    }
    return this.#locked('exclusive', () =>
      this.#inWorkspace(async (workspace) => {
        const { names, images } = choose(this.list());
        await this.#updateIndex(workspace, (index) => {
          const gone = images.flatMap(({ id }) => this.layout.manifestsOf(index, id));
          const kept = withoutManifests(
            index,
            gone.map(({ digest }) => digest),
          );
          return names.reduce(withoutName, kept);
        });
        const swept = this.#sweep(workspace);
        const untagged = [...names, ...images.flatMap((image) => image.names)];
        return { untagged, images: images.map(({ id }) => id), ...swept };
      }),
    );
  }

  /** Removes blobs and layers that nothing refers to. The caller holds the lock exclusively. */
  #sweep(workspace: Workspace): { layers: Digest[]; freed: number } {
    const { blobs, layers } = this.#needed();
    let freed = 0;
    for (const hex of unneeded(this.layout.path('blobs', 'sha256'), blobs)) {
      const path = this.layout.blobPath(`sha256:${hex}`);
      freed += statSync(path).size;
      workspace.discard(path);
    }
    const removed = unneeded(this.layout.path('layers'), layers).map((hex): Digest => `sha256:${hex}`);
    for (const diffId of removed) {
      freed += this.layout.layerSize(diffId).bytes;
      workspace.discard(this.layout.layerPath(diffId));
    }
    return { layers: removed, freed };
  }

  /** The hexadecimal digests of what images and containers are made of. */
  #needed(): { blobs: Set<string>; layers: Set<string> } {
    const index = this.layout.index();
    const images = imagesOf(index).map((entry) => this.layout.image(index, entry));
    const blobs = images.flatMap(({ manifest, manifestDigest, id }) => [
      manifestDigest,
      id,
      ...manifest.layers.map(({ digest }) => digest),
    ]);
    const used = new Set(listRecords(this.root).flatMap(({ lowers }) => lowers));
    const layers = images.flatMap(({ config }) => config.rootfs.diff_ids).map(hexOf);
    const held = existsSync(this.layout.path('layers')) ? readdirSync(this.layout.path('layers')) : [];
    const mounted = held.filter((hex) => used.has(this.layout.layerDirectory(`sha256:${hex}`)));
    return { blobs: new Set(blobs.map(hexOf)), layers: new Set([...layers, ...mounted]) };
  }

  async #locked<T>(mode: LockMode, use: () => Promise<T> | T): Promise<T> {
    this.#make();
    return withLock(this.layout.path('lock'), mode, use);
  }

  /** Makes what is missing of an empty store. */
  #make(): void {
    requireWritable(this.root);
    mkdirSync(this.root, { recursive: true, mode: PRIVATE });
    for (const name of ['blobs/sha256', 'layers', 'tmp']) {
      mkdirSync(this.layout.path(name), { recursive: true, mode: PRIVATE });
    }
  }

  async #inWorkspace<T>(use: (workspace: Workspace) => Promise<T>): Promise<T> {
    const parent = this.layout.path('tmp');
    const briefly = <R>(step: () => R): Promise<R> =>
      withLock(this.layout.path('index.lock'), 'exclusive', step);
    const workspace = await briefly(() => {
      clearDeadWorkspaces(parent);
      const made = Workspace.make(parent);
      if (!existsSync(this.layout.path('oci-layout')))
        made.install(this.layout.path('oci-layout'), LAYOUT_VERSION);
      return made;
    });
    try {
      return await use(workspace);
    } finally {
      await briefly(() => workspace.close());
    }
  }

  /** Replaces the index by what `change` makes of it. */
  async #updateIndex(workspace: Workspace, change: (index: Index) => Index): Promise<void> {
    await withLock(this.layout.path('index.lock'), 'exclusive', () => {
      const index = change(this.layout.index());
      workspace.install(this.layout.path('index.json'), `${JSON.stringify(index, null, 2)}\n`);
    });
  }
}

/** What is to go: names alone, and images with all their names. */
export interface Choice {
  readonly names: readonly string[];
  readonly images: readonly StoredImage[];
}

const unneeded = (directory: string, needed: ReadonlySet<string>): string[] =>
  readdirSync(directory).filter((name) => !needed.has(name));
