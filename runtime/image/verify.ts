/**
 * Digests, computed while the bytes flow.
 *
 * Rule: what a stream carries is compared with what was promised before its end is passed on, so that nobody can take
 * unverified bytes for whole ones. Compare pkg/v1/... verify.ReadCloser in go-containerregistry.
 */
import { createHash } from 'node:crypto';
import { Transform, type TransformCallback } from 'node:stream';
import { UsageError } from '../../fs/index.js';
import type { Digest } from './oci.js';

export interface Expected {
  readonly digest?: Digest;
  /** Bytes. */
  readonly size?: number;
  /** What the bytes are, for messages. */
  readonly what: string;
}

export const digestOf = (bytes: Buffer | string): Digest =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** Passes bytes on, counts and hashes them; at the end it fails with `UsageError` if they are not the expected ones. */
export class Verifier extends Transform {
  readonly #hash = createHash('sha256');
  readonly #expected: Expected;
  readonly #onBytes: (bytes: number) => void;
  /** Bytes so far. */
  size = 0;
  #digest: Digest | undefined;

  constructor(expected: Expected, onBytes: (bytes: number) => void = () => {}) {
    super();
    this.#expected = expected;
    this.#onBytes = onBytes;
  }

  /** Of all bytes; known once the stream has ended. */
  get digest(): Digest {
    if (this.#digest === undefined) throw new Error('the stream has not ended');
    return this.#digest;
  }

  override _transform(chunk: Buffer, _: BufferEncoding, done: TransformCallback): void {
    this.#hash.update(chunk);
    this.size += chunk.length;
    this.#onBytes(chunk.length);
    const { size, what } = this.#expected;
    if (size !== undefined && this.size > size)
      done(new UsageError(`${what} is longer than its ${size} bytes`));
    else done(null, chunk);
  }

  override _flush(done: TransformCallback): void {
    this.#digest = `sha256:${this.#hash.digest('hex')}`;
    done(this.#mismatch());
  }

  #mismatch(): UsageError | null {
    const { digest, size, what } = this.#expected;
    if (size !== undefined && this.size !== size)
      return new UsageError(`${what} has ${this.size} bytes, not the expected ${size}`);
    if (digest !== undefined && this.#digest !== digest)
      return new UsageError(`${what} has the digest "${this.#digest}", not the expected "${digest}"`);
    return null;
  }
}
