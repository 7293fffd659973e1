/**
 * A source with verification: digest and size of each document and each blob match their descriptors.
 *
 * Rule: data of a source is verified only here, and unverified data cannot reach a sink. A stream is checked before its end
 * is passed on (`verify.ts`).
 */
import { pipeline, type Readable } from 'node:stream';
import type { Descriptor } from '../oci.js';
import type { Candidate, ImageSource } from '../source.js';
import { Check, type Expected, Verifier } from '../verify.js';

export class VerifiedSource implements ImageSource {
  readonly #source: ImageSource;

  constructor(source: ImageSource) {
    this.#source = source;
  }

  get name(): string {
    return this.#source.name;
  }

  resolve(reference?: string): Promise<readonly Candidate[]> {
    return this.#source.resolve(reference);
  }

  describe(descriptor: Descriptor): string {
    return this.#source.describe(descriptor);
  }

  #expected(descriptor: Descriptor): Expected {
    const { digest, size } = descriptor;
    return { digest, size, what: this.describe(descriptor) };
  }

  async manifest(descriptor: Descriptor): Promise<Buffer> {
    const bytes = await this.#source.manifest(descriptor);
    const check = new Check(this.#expected(descriptor));
    check.update(bytes);
    check.finish();
    return bytes;
  }

  async blob(descriptor: Descriptor): Promise<Readable> {
    const verifier = new Verifier(this.#expected(descriptor));
    pipeline(await this.#source.blob(descriptor), verifier, () => {}); // the reader gets the error
    return verifier;
  }
}
