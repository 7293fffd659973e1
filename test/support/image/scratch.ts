/** A directory for a suite's files: made before its first test, removed after its last. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type Unpacked, type UnpackLimits, unpackLayer } from '../../../runtime/image/layer/unpack.js';

/** A filesystem in memory: where a sync costs nothing, for tests that are not about durability. */
export const MEMORY = '/dev/shm';

export class Scratch {
  readonly #parent: string;
  #directory = '';
  #count = 0;

  constructor(parent = tmpdir()) {
    this.#parent = parent;
  }

  open(): void {
    this.#directory = realpathSync(mkdtempSync(join(this.#parent, 'tscr-image-')));
  }

  close(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  path(...names: readonly string[]): string {
    return join(this.#directory, ...names);
  }

  /** A new, empty directory. */
  fresh(name = 'd'): string {
    this.#count += 1;
    const path = this.path(`${name}${this.#count}`);
    mkdirSync(path);
    return path;
  }

  /** Unpacks an archive, which arrives in pieces of `piece` bytes, into a new directory. */
  async unpack(bytes: Buffer, piece = bytes.length, limits: Partial<UnpackLimits> = {}): Promise<string> {
    const directory = this.fresh('unpacked');
    await unpackInto(directory, bytes, piece, limits);
    return directory;
  }
}

export function unpackInto(
  directory: string,
  bytes: Buffer,
  piece = bytes.length,
  limits: Partial<UnpackLimits> = {},
): Promise<Unpacked> {
  return unpackLayer(Readable.from(pieces(bytes, piece), { objectMode: false }), directory, limits);
}

function* pieces(bytes: Buffer, length: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

export async function collect(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

export function useScratch(parent?: string): Scratch {
  const scratch = new Scratch(parent);
  before(() => scratch.open());
  after(() => scratch.close());
  return scratch;
}
