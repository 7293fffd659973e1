/**
 * A message queue in shared memory from the serving thread to a helper thread.
 *
 * Rule: it is bounded; a writer never waits, a message that does not fit is refused. A reader sleeps until there is a
 * message, and receives all messages that were written before the stop.
 */

const CAPACITY = 256 * 1024;
const LENGTH_PREFIX = 4;
/** Indexes into the ring's control words. */
const WRITTEN = 0;
const READ = 1;
const STOPPED = 2;
/** Changes with every push and with the stop: what the reader sleeps on, so that it misses neither. */
const SIGNAL = 3;
/** How many messages the reader is done with, modulo 2^32. */
const HANDLED = 4;
const CONTROL_WORDS = 5;

/** A single-writer, single-reader queue of messages in shared memory. Positions count bytes and wrap at 2^31. */
export class MessageRing {
  readonly shared: SharedArrayBuffer;
  readonly #control: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** The reader's: it is at work on a message. */
  #isHandling = false;

  constructor(shared = new SharedArrayBuffer(CONTROL_WORDS * 4 + CAPACITY)) {
    this.shared = shared;
    this.#control = new Int32Array(shared, 0, CONTROL_WORDS);
    this.#bytes = new Uint8Array(shared, CONTROL_WORDS * 4);
    this.#view = new DataView(shared, CONTROL_WORDS * 4);
  }

  /** Appends a message, whose length is a multiple of 4; false if there is no room. */
  push(message: Uint8Array): boolean {
    const written = Atomics.load(this.#control, WRITTEN);
    const used = (written - Atomics.load(this.#control, READ)) | 0;
    const size = LENGTH_PREFIX + message.length;
    if (used + size > CAPACITY) return false;
    this.#view.setUint32(position(written), message.length, true);
    for (let index = 0; index < message.length; index++) {
      this.#bytes[position(written + LENGTH_PREFIX + index)] = message[index] as number;
    }
    Atomics.store(this.#control, WRITTEN, (written + size) | 0);
    this.#wake();
    return true;
  }

  /** How many messages, modulo 2^32, the reader had finished when it last asked for the next. */
  get handled(): number {
    return Atomics.load(this.#control, HANDLED);
  }

  /** Waits for the next message; undefined once stopped. The one before is done. */
  pop(): Uint8Array | undefined {
    if (this.#isHandling) Atomics.add(this.#control, HANDLED, 1);
    this.#isHandling = false;
    const read = Atomics.load(this.#control, READ);
    for (;;) {
      const signal = Atomics.load(this.#control, SIGNAL);
      if (Atomics.load(this.#control, WRITTEN) !== read) break;
      if (Atomics.load(this.#control, STOPPED) !== 0) return undefined;
      Atomics.wait(this.#control, SIGNAL, signal);
    }
    const length = this.#view.getUint32(position(read), true);
    const message = new Uint8Array(length);
    for (let index = 0; index < length; index++) {
      message[index] = this.#bytes[position(read + LENGTH_PREFIX + index)] as number;
    }
    Atomics.store(this.#control, READ, (read + LENGTH_PREFIX + length) | 0);
    this.#isHandling = true;
    return message;
  }

  /** Ends the reader, which may be waiting. */
  stop(): void {
    Atomics.store(this.#control, STOPPED, 1);
    this.#wake();
  }

  #wake(): void {
    Atomics.add(this.#control, SIGNAL, 1);
    Atomics.notify(this.#control, SIGNAL);
  }
}

const position = (count: number): number => (count >>> 0) % CAPACITY;
