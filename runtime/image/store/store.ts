/**
 * The image store: content-addressed, shared by all processes of a user, and by nodes that share a home directory.
 *
 * Rules for concurrent processes:
 * - Readers take no lock (`layout.ts`).
 * - A process that adds something, or uses images before a lease says so, has a shared lock on `lock`, which prevents
 *   removals. A process that removes something has an exclusive lock.
 * - `index.lock` is taken briefly: to replace the index, and to create, close and clear workspaces.
 * - A removal needs no disk space: an image is removed when its manifest is renamed (`Layout.removedPath`); then its parts
 *   are removed, and the index, which needs space, is written last. The next writer completes an interrupted removal.
 * - What a lease names stays (`leases.ts`).
 * - An unreadable image does not affect other images: it is reported and can be removed, and parts that it may use are not
 *   removed as unused.
 *
 * Compare containers/storage (layers.json, images.json and their locks) and the OCI image layout.
 */
import { existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { isFull } from '../../../fs/input/json-file.js';
import { withPath } from '../../../fs/sys/errno.js';
import type { Digest, Index, StoredImage } from '../oci.js';
import { formatReference, hexOf, parseTag } from '../reference.js';
import { EMPTY_INDEX, imagesOf, withImage, withoutManifests, withoutName } from './index-file.js';
import { type DamagedImage, type Inventory, Layout, namesIn } from './layout.js';
import { leasedLayers } from './leases.js';
import { type LockMode, withLock, withReadLock } from './lock.js';
import { requireWritable, storeRoot } from './place.js';
import { searchImage } from './search.js';
import { clearDeadWorkspaces, installFile, removePath, syncDirectory, Workspace } from './workspace.js';
import type { WriteOptions, Writer } from './writer.js';

const PRIVATE = 0o700;
/** A copy of the index, to repair a damaged one. */
export const INDEX_COPY = 'index.json.copy';
const LAYOUT_VERSION = '{"imageLayoutVersion":"1.0.0"}';

/** The result of a removal. */
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

  /** The store at `root`; it is created when something is first added. Default: see `storeRoot`. */
  static open(root: string = storeRoot()): Store {
    return new Store(root);
  }

  get root(): string {
    return this.layout.root;
  }

  // --- reading

  /** Every image that can be read, in the order they were added. */
  list(): readonly StoredImage[] {
    return this.inventory().images;
  }

  inventory(): Inventory {
    return this.layout.inventory();
  }

  /** The image with this name, digest, ID or ID prefix. Throws `UsageError` if there is not exactly one. */
  find(text: string): StoredImage {
    return this.layout.consistently((index) => searchImage(this.layout, index, text));
  }

  /** Bytes of the files in an image's layers. */
  sizeOf({ layerKeys }: StoredImage): number {
    return layerKeys.reduce((sum, key) => sum + this.layout.layerSize(key).bytes, 0);
  }

  // --- writing

  /** Runs `use` while nothing is removed from the store, e.g. to write a lease for an image that was found. */
  async hold<T>(use: () => Promise<T> | T): Promise<T> {
    return withReadLock(this.layout.path('lock'), use);
  }

  /** Adds everything that `use` adds, or, if it throws, nothing. */
  async write<T>(use: (writer: Writer) => Promise<T>, options: WriteOptions = {}): Promise<T> {
    const { Writer } = await import('./writer.js'); // readers need no code for unpacking
    return this.#locked('shared', () =>
      this.#inWorkspace(async (workspace) => {
        await this.#completeRemovals();
        const writer = new Writer(this.layout, workspace, options);
        const result = await use(writer);
        if (writer.additions.length === 0) return result;
        writer.publish();
        await this.#updateIndex((index) =>
          writer.additions.reduce((before, { manifest, names }) => withImage(before, manifest, names), index),
        );
        return result;
      }),
    );
  }

  /** Gives an image one more name, which is removed from an image that has it. Throws `UsageError`. */
  async tag(text: string, name: string): Promise<void> {
    const full = formatReference(parseTag(name));
    this.find(text);
    await this.#locked('shared', async () => {
      await this.#completeRemovals();
      const { manifest, manifestDigest } = this.find(text);
      const size = statSync(this.layout.blobPath(manifestDigest)).size;
      const { mediaType = '' } = manifest;
      const entry = { mediaType, digest: manifestDigest, size };
      await this.#updateIndex((index) => withImage(index, entry, [full]));
    });
  }

  /**
   * Removes what `choose` returns from the index, and all parts that no image and no lease needs any more.
   * @param choose is called under the lock; throws `UsageError` to refuse
   */
  async remove(choose: (inventory: Inventory) => Choice): Promise<Removal> {
    if (!existsSync(this.root)) {
      choose({ images: [], damaged: [] });
      return { untagged: [], images: [], layers: [], freed: 0 };
    }
    return this.#locked('exclusive', async () => {
      await this.#briefly(() => clearDeadWorkspaces(this.layout.path('tmp')));
      const { names, images } = choose(this.inventory());
      const gone = images.flatMap((image) => this.#manifestsOf(image));
      const parts = gone.map((digest) => this.#partsOf(digest));
      this.#hideManifests(gone);
      const swept = this.#sweep(parts);
      await this.#dropFromIndex(names, gone);
      const untagged = [...names, ...images.flatMap((image) => image.names)];
      return { untagged, images: images.map((image) => idOf(image)), ...swept };
    });
  }

  /** Runs `use` under the exclusive lock; needs no disk space. */
  async exclusively<T>(use: () => Promise<T> | T): Promise<T> {
    return this.#locked('exclusive', use);
  }

  /** The same with a workspace. @param use gets a function that returns paths for temporary files */
  async alone<T>(use: (temporary: () => string) => Promise<T>): Promise<T> {
    return this.#locked('exclusive', () => this.#inWorkspace((workspace) => use(() => workspace.path())));
  }

  /** Replaces an unreadable index. The caller has the exclusive lock. */
  async rebuildIndex(index: Index): Promise<void> {
    await this.#briefly(() => installFile(this.layout.path('index.json'), encodeIndex(index)));
  }

  #manifestsOf(image: Removable): Digest[] {
    if (!('id' in image)) return [image.manifestDigest];
    return this.layout.manifestsOf(this.layout.index(), image.id).map(({ digest }) => digest);
  }

  /** Hides manifests; from here on the images are removed. */
  #hideManifests(digests: readonly Digest[]): void {
    for (const digest of digests) {
      const path = this.layout.blobPath(digest);
      if (existsSync(path)) renameSync(path, this.layout.removedPath(digest)); // else the index alone names it
    }
    if (digests.length > 0) syncDirectory(this.layout.path('blobs', 'sha256'));
  }

  /** Removes names and manifests from the index. A full disk does not prevent the removal of images. */
  async #dropFromIndex(names: readonly string[], gone: readonly Digest[]): Promise<void> {
    const hidden = this.layout.removals();
    if (names.length + gone.length + hidden.length === 0) return;
    const isDone = names.length === 0 && gone.every((digest) => hidden.includes(digest));
    try {
      await this.#updateIndex((index) => names.reduce(withoutName, withoutManifests(index, gone)));
    } catch (error) {
      if (isDone && isFull(error)) return; // the images are gone; the next writer completes it
      throw error;
    }
  }

  /** Completes a removal that was interrupted or had no space. The caller has the lock. */
  async #completeRemovals(): Promise<void> {
    if (this.layout.removals().length > 0) await this.#updateIndex((index) => index);
  }

  /** Removes blobs and layers that nothing refers to. The caller holds the lock exclusively. */
  #sweep(gone: readonly Parts[]): { layers: Digest[]; freed: number } {
    const { blobs, layers } = this.#unneeded(gone);
    let freed = 0;
    for (const name of blobs) {
      const path = this.layout.path('blobs', 'sha256', name);
      freed += statSync(path, { throwIfNoEntry: false })?.size ?? 0;
      rmSync(path, { force: true, recursive: true });
    }
    for (const name of layers) freed += this.#removeLayer(name);
    return { layers: layers.filter((name) => HEX.test(name)).map((hex): Digest => `sha256:${hex}`), freed };
  }

  /** Removes a layer: renames it, then deletes it. @returns its size in bytes */
  #removeLayer(name: string): number {
    const path = this.layout.path('layers', name);
    const hidden = name.startsWith(HIDDEN) ? path : this.layout.path('layers', HIDDEN + name);
    const bytes = HEX.test(name) ? this.#bytesOf(`sha256:${name}`) : 0;
    if (hidden !== path) {
      removePath(hidden);
      renameSync(path, hidden);
    }
    removePath(hidden);
    return bytes;
  }

  #bytesOf(key: Digest): number {
    try {
      return this.layout.layerSize(key).bytes;
    } catch {
      return 0; // it is damaged
    }
  }

  /** Unused blobs and layers. @param gone the parts of removed images */
  #unneeded(gone: readonly Parts[]): { blobs: string[]; layers: string[] } {
    const kept = imagesOf(this.layout.index()).map(({ digest }) => this.#partsOf(digest));
    const leased = leasedLayers(this.root);
    const [blobs, layers] = [
      new Set(kept.flatMap((parts) => parts.blobs).map(hexOf)),
      new Set([...kept.flatMap((parts) => parts.layers), ...(leased ?? [])].map(hexOf)),
    ];
    const hidden = new Set(this.layout.removals().map((digest) => `${hexOf(digest)}.removed`));
    const own = (of: 'blobs' | 'layers') => new Set(gone.flatMap((parts) => parts[of]).map(hexOf));
    const choose = (of: 'blobs' | 'layers', needed: ReadonlySet<string>): string[] => {
      const knowsAll = kept.every((parts) => parts.knows[of]);
      const known = own(of);
      const place = of === 'blobs' ? this.layout.path('blobs', 'sha256') : this.layout.path('layers');
      return namesIn(place).filter(
        (name) => !needed.has(name) && !hidden.has(name) && (knowsAll || known.has(name)),
      );
    };
    return { blobs: choose('blobs', blobs), layers: leased === undefined ? [] : choose('layers', layers) };
  }

  /** The parts of an image, as far as they can be read. */
  #partsOf(digest: Digest): Parts {
    try {
      const { config, layers } = this.layout.manifest({ digest });
      const blobs = [digest, config.digest, ...layers.map((layer) => layer.digest)];
      const keys = this.layout.layerKeysOf(config.digest);
      return { blobs, layers: keys ?? [], knows: { blobs: true, layers: keys !== undefined } };
    } catch {
      return { blobs: [digest], layers: [], knows: { blobs: false, layers: false } };
    }
  }

  async #locked<T>(mode: LockMode, use: () => Promise<T> | T): Promise<T> {
    this.#make();
    try {
      return await withLock(this.layout.path('lock'), mode, use);
    } catch (error) {
      throw withPath(this.root, error);
    }
  }

  /** Creates the directories of an empty store. */
  #make(): void {
    requireWritable(this.root);
    mkdirSync(this.root, { recursive: true, mode: PRIVATE });
    for (const name of ['blobs/sha256', 'layers', 'tmp']) {
      mkdirSync(this.layout.path(name), { recursive: true, mode: PRIVATE });
    }
  }

  #briefly<T>(step: () => T): Promise<T> {
    return withLock(this.layout.path('index.lock'), 'exclusive', step);
  }

  async #inWorkspace<T>(use: (workspace: Workspace) => Promise<T>): Promise<T> {
    const parent = this.layout.path('tmp');
    const workspace = await this.#briefly(() => {
      clearDeadWorkspaces(parent);
      this.#begin();
      return Workspace.make(parent);
    });
    try {
      return await use(workspace);
    } finally {
      await this.#briefly(() => workspace.close());
    }
  }

  /** Creates the files of an OCI layout; the index first, so that its loss is detected. */
  #begin(): void {
    const [layout, index] = [this.layout.path('oci-layout'), this.layout.path('index.json')];
    if (existsSync(layout)) return;
    if (!existsSync(index)) installFile(index, encodeIndex(EMPTY_INDEX));
    installFile(layout, LAYOUT_VERSION);
  }

  /** Replaces the index by the result of `change`, without images that are being removed. */
  async #updateIndex(change: (index: Index) => Index): Promise<void> {
    await this.#briefly(() => {
      const removals = this.layout.removals();
      const path = this.layout.path('index.json');
      const content = encodeIndex(change(this.layout.index()));
      installFile(path, content);
      keepCopy(this.layout.path(INDEX_COPY), content);
      for (const digest of removals)
        rmSync(this.layout.removedPath(digest), { force: true, recursive: true });
    });
  }
}

const encodeIndex = (index: Index): string => `${JSON.stringify(index, null, 2)}\n`;

/** Writes the copy of the index; without space there is none. */
function keepCopy(path: string, content: string): void {
  try {
    installFile(path, content);
  } catch (error) {
    if (!isFull(error)) throw error;
  }
}

/** The parts of an image. */
interface Parts {
  readonly blobs: readonly Digest[];
  /** Keys. */
  readonly layers: readonly Digest[];
  /** Whether all are known. */
  readonly knows: { readonly blobs: boolean; readonly layers: boolean };
}

const HEX = /^[0-9a-f]{64}$/;
const HIDDEN = '.';

export type Removable = StoredImage | DamagedImage;

/** The ID of a removed image, or its manifest's digest if the ID is unknown. */
const idOf = (image: Removable): Digest => ('id' in image ? image.id : image.manifestDigest);

/** What to remove: single names, and images with all their names. */
export interface Choice {
  readonly names: readonly string[];
  readonly images: readonly Removable[];
}
