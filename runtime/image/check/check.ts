/**
 * `system check`, for images and layers: verifies the whole content of a store.
 *
 * Rules: a blob must match the digest in its name. An unpacked layer must equal its archive, so each archive is unpacked
 * again into a temporary directory, one layer at a time, and compared. Nothing is changed without `--repair`, which
 * rebuilds the index from the manifests, and layers from their archives. Damage that the store cannot repair (a blob) is
 * reported with advice.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { UsageError } from '../../../fs/index.js';
import { decompress } from '../layer/compression.js';
import { type Unpacked, unpackLayer } from '../layer/unpack.js';
import type { Descriptor, Digest, Index, LayerSize } from '../oci.js';
import { familiar } from '../reference.js';
import { imagesOf, namesOf } from '../store/index-file.js';
import { Damage, namesIn } from '../store/layout.js';
import { isWritable } from '../store/place.js';
import type { Store } from '../store/store.js';
import { exchange, removePath } from '../store/workspace.js';
import { Verifier } from '../verify.js';
import { salvageIndex } from './index-salvage.js';
import { treeDifference } from './tree-difference.js';

export interface Finding {
  readonly what: string;
  readonly problem: string;
  /** How it was repaired; undefined if it was not. */
  readonly repaired?: string;
  /** How to repair it. */
  readonly advice: string;
}

export interface Report {
  readonly findings: readonly Finding[];
  readonly counts: { readonly images: number; readonly layers: number; readonly containers: number };
}

const HEX = /^[0-9a-f]{64}$/;
const NO_LIMITS = { maxBytes: Number.MAX_SAFE_INTEGER, maxEntries: Number.MAX_SAFE_INTEGER };
export const ASK_REPAIR = 'repair it with "tscr system check --repair"';
export const LOAD_AGAIN = 'load its image again';

/** Those who use the layers of a store; they are checked with it. */
export interface Tenants {
  /** Who has a layer's directory mounted at this moment; undefined if nobody. */
  userOf(layer: string): string | undefined;
  examine(repair: boolean): { readonly findings: readonly Finding[]; readonly count: number };
}

/** Checks a store under its exclusive lock. Throws `UsageError` if it is to be repaired and is not writable. */
export async function checkImages(store: Store, repair: boolean, tenants: Tenants): Promise<Report> {
  if (!existsSync(store.root)) return { findings: [], counts: { images: 0, layers: 0, containers: 0 } };
  const check = (temporary: () => string): Promise<Report> =>
    new Check(store, repair, temporary, tenants).run();
  if (repair || isWritable(store.root)) return store.alone(check);
  return store.hold(() => inTemporary(check));
}

/** Temporary files for a read-only store. */
async function inTemporary<T>(use: (temporary: () => string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), 'tscr-check-'));
  let next = 0;
  try {
    return await use(() => join(directory, String(next++)));
  } finally {
    removePath(directory);
  }
}

class Check {
  readonly #store: Store;
  readonly #repair: boolean;
  readonly #temporary: () => string;
  readonly #tenants: Tenants;
  readonly #findings: Finding[] = [];
  readonly #blobs = new Map<Digest, string | undefined>();
  readonly #layers = new Set<Digest>();

  constructor(store: Store, repair: boolean, temporary: () => string, tenants: Tenants) {
    this.#store = store;
    this.#repair = repair;
    this.#temporary = temporary;
    this.#tenants = tenants;
  }

  async run(): Promise<Report> {
    const index = await this.#index();
    const images = imagesOf(index);
    for (const image of images) await this.#image(index, image);
    this.#unusedBlobs();
    const { findings, count } = this.#tenants.examine(this.#repair);
    const counts = { images: images.length, layers: this.#layers.size, containers: count };
    return { findings: [...this.#findings, ...findings], counts };
  }

  #found(what: string, problem: string, advice: string, repaired?: string): void {
    this.#findings.push({ what, problem, advice, ...(repaired !== undefined && { repaired }) });
  }

  /** The index, or a rebuilt one. */
  async #index(): Promise<Index> {
    const { layout } = this.#store;
    try {
      return layout.index();
    } catch (error) {
      if (!(error instanceof Damage)) throw error;
      const salvaged = salvageIndex(layout);
      const isMended = this.#repair;
      if (isMended) await this.#store.rebuildIndex(salvaged);
      const count = imagesOf(salvaged).length;
      this.#found(
        'index.json',
        error.problem,
        ASK_REPAIR,
        isMended ? `rebuilt from the manifests: ${count} images` : undefined,
      );
      return salvaged;
    }
  }

  /** Checks each blob once. @returns the problem, or undefined */
  #blob(digest: Digest, owner: string): string | undefined {
    const known = this.#blobs.get(digest);
    if (known !== undefined || this.#blobs.has(digest)) return known;
    const problem = this.#store.layout.problemOf(digest);
    this.#blobs.set(digest, problem);
    if (problem !== undefined) this.#found(`blob "${digest}" of image "${owner}"`, problem, LOAD_AGAIN);
    return problem;
  }

  async #image(index: Index, entry: Descriptor): Promise<void> {
    const { layout } = this.#store;
    const names = namesOf(index, entry.digest).map(familiar);
    const owner = names.length === 0 ? entry.digest : names.join('", "');
    if (this.#blob(entry.digest, owner) !== undefined) return;
    try {
      const { config, layers } = layout.manifest(entry);
      const broken = [config, ...layers].map(({ digest }) => this.#blob(digest, owner) !== undefined);
      const keys = broken[0] === true ? undefined : layout.layerKeysOf(config.digest);
      if (keys === undefined) return;
      const below: string[] = [];
      for (const [at, layer] of layers.entries()) {
        const key = keys[at];
        if (key === undefined) continue;
        await this.#layer({
          key,
          blob: layer,
          isReadable: broken[at + 1] !== true,
          owner,
          below: [...below],
        });
        below.unshift(layout.layerDirectory(key));
      }
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      this.#found(`image "${owner}"`, error.message, LOAD_AGAIN);
    }
  }

  async #layer(layer: LayerToCheck): Promise<void> {
    const { key, isReadable, owner } = layer;
    if (this.#layers.has(key)) return;
    this.#layers.add(key);
    const { layout } = this.#store;
    const what = `layer "${key}" of image "${owner}"`;
    const isThere = layout.hasLayer(key);
    if (!isReadable) {
      if (!isThere) this.#found(what, 'is missing or incomplete', LOAD_AGAIN);
      return;
    }
    const made = this.#temporary();
    try {
      const size = await this.#unpack(layer, made);
      const problem = this.#problemOf(layer, size, join(made, 'diff'));
      if (problem !== undefined) this.#mend(layer, what, problem, made);
    } catch (error) {
      this.#found(
        what,
        `cannot be examined: ${(error as Error).message}`,
        'free space, or load its image again',
      );
    } finally {
      removePath(made);
    }
  }

  /** Unpacks a layer into a directory, in the store's format. */
  async #unpack({ blob, below }: LayerToCheck, directory: string): Promise<LayerSize> {
    const root = join(directory, 'diff');
    mkdirSync(root, { recursive: true, mode: 0o755 });
    const { stream } = await decompress(this.#store.layout.openBlob(blob.digest), `layer "${blob.digest}"`);
    const counter = new Verifier({ what: `layer "${blob.digest}"` });
    const unpacking = unpackLayer(counter, root, NO_LIMITS, below).then(
      (unpacked): Unpacked => {
        counter.resume(); // what follows the end of the archive is counted
        return unpacked;
      },
      (error: Error) => {
        counter.destroy(error);
        throw error;
      },
    );
    const [flow, unpacked] = await Promise.allSettled([pipeline(stream, counter), unpacking]);
    if (unpacked.status === 'rejected') throw unpacked.reason;
    if (flow.status === 'rejected') throw flow.reason;
    const { bytes, entries, describesRoot } = unpacked.value;
    const size: LayerSize = { bytes, entries, tar: counter.size, describesRoot };
    writeFileSync(join(directory, 'layer.json'), JSON.stringify(size));
    return size;
  }

  #problemOf({ key }: LayerToCheck, size: LayerSize, root: string): string | undefined {
    const { layout } = this.#store;
    if (!existsSync(layout.layerDirectory(key))) return 'is missing';
    const found = treeDifference(root, layout.layerDirectory(key));
    if (found !== undefined) return `differs from its archive: ${found}`;
    try {
      const told = layout.layerSize(key);
      const isRight = told.bytes === size.bytes && told.entries === size.entries && told.tar === size.tar;
      return isRight ? undefined : 'has a wrong "layer.json"';
    } catch {
      return 'has no readable "layer.json"';
    }
  }

  /** Replaces a damaged layer, unless a container uses it. */
  #mend({ key }: LayerToCheck, what: string, problem: string, made: string): void {
    const { layout } = this.#store;
    const user = this.#tenants.userOf(layout.layerDirectory(key));
    if (user !== undefined) {
      this.#found(what, problem, `container "${user}" uses it; stop the container, then ${ASK_REPAIR}`);
      return;
    }
    if (this.#repair) {
      mkdirSync(layout.layerPath(key), { recursive: true, mode: 0o755 });
      exchange(made, layout.layerPath(key));
    }
    this.#found(what, problem, ASK_REPAIR, this.#repair ? 'unpacked again' : undefined);
  }

  /** Checks blobs that no image uses. */
  #unusedBlobs(): void {
    const { layout } = this.#store;
    for (const name of namesIn(layout.path('blobs', 'sha256'))) {
      const digest: Digest = `sha256:${name}`;
      if (!HEX.test(name) || this.#blobs.has(digest)) continue;
      const problem = layout.problemOf(digest);
      if (problem === undefined) continue;
      if (this.#repair) rmSync(layout.blobPath(digest), { force: true, recursive: true });
      this.#found(`unused blob "${digest}"`, problem, ASK_REPAIR, this.#repair ? 'removed' : undefined);
    }
  }
}

interface LayerToCheck {
  readonly key: Digest;
  readonly blob: Descriptor;
  /** Its blob exists and is correct. */
  readonly isReadable: boolean;
  readonly owner: string;
  /** The directories of the layers below, the top one first. */
  readonly below: readonly string[];
}
