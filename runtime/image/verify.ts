/**
 * Digests, computed while the bytes flow.
 *
 * Rule: size and digest are checked before the end of a stream is passed on, so that no reader takes unverified data for
 * complete. Compare pkg/v1/... verify.ReadCloser in go-containerregistry.
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

/** Counts and hashes bytes, and compares them with what is expected. */
export class Check {
  readonly #hash = createHash('sha256');
  readonly #expected: Expected;
  /** Bytes so far. */
  size = 0;

  constructor(expected: Expected) {
    this.#expected = expected;
  }

  /** Throws `UsageError` if there are more bytes than expected. */
  update(chunk: Buffer): void {
    this.#hash.update(chunk);
    this.size += chunk.length;
    const { size, what } = this.#expected;
    if (size !== undefined && this.size > size)
      throw new UsageError(`${what} is longer than its ${size} bytes`);
  }

  /** The digest of all bytes. Throws `UsageError` if they are not the expected ones. */
  finish(): Digest {
    const { digest: promised, size, what } = this.#expected;
    const digest: Digest = `sha256:${this.#hash.digest('hex')}`;
    const complaints: string[] = [];
    if (promised !== undefined && digest !== promised)
      complaints.push(`has the digest "${digest}", not the expected "${promised}"`);
    if (size !== undefined && this.size !== size)
      complaints.push(`has ${this.size} bytes, not the expected ${size}`);
    if (complaints.length > 0) throw new UsageError(`${what} ${complaints.join('; it ')}`);
    return digest;
  }
}

/** Passes bytes on and checks them; the stream fails with `UsageError` before its end if they are not as expected. */
export class Verifier extends Transform {
  readonly #check: Check;

  constructor(expected: Expected) {
    super();
    this.#check = new Check(expected);
  }

  /** Bytes so far. */
  get size(): number {
    return this.#check.size;
  }

  override _transform(chunk: Buffer, _: BufferEncoding, done: TransformCallback): void {
    attempt(done, () => {
      this.#check.update(chunk);
      this.push(chunk);
    });
  }

  override _flush(done: TransformCallback): void {
    attempt(done, () => this.#check.finish());
  }
}

function attempt(done: TransformCallback, step: () => unknown): void {
  try {
    step();
    done();
  } catch (error) {
    done(error as Error);
  }
}
