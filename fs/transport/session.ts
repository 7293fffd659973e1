/**
 * The loop: read a request, decode it, run its operation, write the reply.
 *
 * Rules:
 * - Every request gets exactly one answer, except those that must get none. A malformed one is answered EINVAL, an
 *   unknown one ENOSYS, a failed one its errno; any other error is a bug, logged once and answered EIO.
 * - The loop never returns to the event loop. Waking up costs more than any request, so it spins for a moment
 *   before it sleeps (`Idle`).
 * - fsync(2) may take long: another thread may do it and answer (`Flusher`).
 * - If a reply does not arrive, or an operation fails half-way, the lookups it counted are taken back.
 *
 * Compare fuse_dev_do_read and fuse_dev_do_write in fs/fuse/dev.c.
 */
import { MESSAGE_OVERHEAD, Opcode, SIZEOF } from '../protocol/abi.js';
import { Cursor, decodeHeader, Malformed, type RequestHeader } from '../protocol/decode.js';
import { type Flush, Reply } from '../protocol/encode.js';
import type { Filesystem } from '../protocol/filesystem.js';
import {
  type Connection,
  decodeInit,
  encodeInit,
  type Negotiation,
  negotiate,
  type Wishes,
} from '../protocol/handshake.js';
import { type Operation, operationOf } from '../protocol/operations.js';
import { E, Errno, errnoName } from '../sys/errno.js';
import { report } from '../sys/report.js';
import { allocate, type Memory, tryRead, tryWrite } from '../sys/syscalls.js';
import type { Flusher } from './flusher.js';
import { Idle } from './idle.js';

export interface SessionOptions {
  readonly wishes: Wishes;
  /** Write a line per request to standard error. */
  readonly trace: boolean;
  /** Called once, when INIT is answered. */
  readonly onReady: (connection: Connection) => void;
  /** Makes files durable. */
  readonly flusher: Pick<Flusher, 'flush'>;
  /** Other work of the serving thread, such as changes of layers. */
  readonly background: Background;
}

export interface Background {
  /** Descriptors that become readable when there is such work. */
  readonly fds: readonly number[];
  /** Does pending work. @returns whether all is done, a retry is needed soon, or the session must end */
  run(): 'done' | 'again' | 'end';
}

/** Background work runs at least once in this many requests. */
const BACKGROUND_EVERY = 128;
/** read(2) results that mean "again": interrupted, or the request was withdrawn meanwhile. */
const AGAIN = new Set([-E.EINTR, -E.ENOENT]);
/** read(2) results that mean the connection is over: unmounted or aborted. */
const OVER = new Set([0, -E.ENODEV, -E.ECONNABORTED]);
/** How soon background work that had to wait is tried again. */
const RETRY_MS = 10;
/** More than the largest opcode. */
const COUNTED_OPCODES = 64;

export class Session {
  readonly #fd: number;
  readonly #filesystem: Filesystem;
  readonly #options: SessionOptions;
  readonly #input: Memory;
  readonly #cursor: Cursor;
  readonly #reply: Reply;
  #connection: Connection | undefined;
  readonly #counts = new Float64Array(COUNTED_OPCODES);
  readonly #logged = new Set<string>();

  /** @param fd /dev/fuse, non-blocking, of a mounted filesystem */
  constructor(fd: number, filesystem: Filesystem, options: SessionOptions) {
    this.#fd = fd;
    this.#filesystem = filesystem;
    this.#options = options;
    const size = options.wishes.maxWrite + MESSAGE_OVERHEAD;
    this.#input = allocate(size);
    this.#cursor = new Cursor(this.#input.bytes);
    this.#reply = new Reply(size);
  }

  /** The number of requests by operation. */
  get counts(): Record<string, number> {
    const asked = [...this.#counts.entries()].filter(([, count]) => count > 0);
    return Object.fromEntries(asked.map(([opcode, count]) => [operationOf(opcode)?.name ?? opcode, count]));
  }

  /** Serves until the filesystem is unmounted. */
  run(): void {
    const { background } = this.#options;
    const idle = new Idle([this.#fd, ...background.fds]);
    for (let served = 1; ; ) {
      const length = tryRead(this.#fd, this.#input);
      if (length > 0) {
        idle.busy();
        this.serve(length);
        if (served++ % BACKGROUND_EVERY === 0 && background.run() === 'end') return;
      } else if (length === -E.EAGAIN) {
        if (idle.spin()) continue;
        const state = background.run();
        if (state === 'end') return;
        idle.sleep(state === 'again' ? RETRY_MS : Idle.FOREVER);
      } else if (OVER.has(length)) {
        return;
      } else if (!AGAIN.has(length)) {
        throw new Errno(-length, 'read');
      }
    }
  }

  /** The buffer that `serve` finds its message in. */
  get input(): Buffer {
    return this.#input.bytes;
  }

  /** Answers the message of `length` bytes in the input buffer. */
  serve(length: number): void {
    this.#cursor.reset(length);
    if (length < SIZEOF.fuse_in_header) {
      this.#log('short', `a message of ${length} bytes is too short for a header`);
      return;
    }
    const header = decodeHeader(this.#cursor);
    this.#reply.begin();
    if (header.opcode === Opcode.INIT && this.#connection === undefined) {
      this.#initialise(header);
      return;
    }
    const operation = operationOf(header.opcode);
    const error = this.#run(header, operation);
    if (error !== 0) this.#takeBack();
    if (operation?.unanswered === true) return;
    if (this.#reply.flush === undefined || error !== 0) this.#send(header, error);
    else this.#flush(header, this.#reply.flush);
  }

  #flush(header: RequestHeader, flush: Flush): void {
    const error = this.#options.flusher.flush(flush, header);
    if (error !== 'later') this.#send(header, error);
  }

  #run(header: RequestHeader, operation: Operation | undefined): number {
    if (operation === undefined || this.#connection === undefined) return E.ENOSYS;
    this.#counts[header.opcode] = (this.#counts[header.opcode] ?? 0) + 1;
    let args: unknown;
    let error = 0;
    try {
      args = operation.decode(this.#cursor, this.#connection);
      const result = operation.run(this.#filesystem, header, args, this.#reply);
      if (typeof result === 'number') error = result;
    } catch (thrown) {
      error = this.#errnoOf(operation.name, thrown);
    }
    if (this.#options.trace) this.#trace(header, operation.name, args, error);
    return error;
  }

  /** The one place where errors become errno values. */
  #errnoOf(name: string, thrown: unknown): number {
    if (thrown instanceof Errno) return thrown.code;
    if (thrown instanceof Malformed) return E.EINVAL;
    const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    this.#log(`${name} ${text}`, `${name}: ${text}`);
    return E.EIO;
  }

  #initialise(header: RequestHeader): void {
    let result: Negotiation;
    try {
      result = negotiate(decodeInit(this.#cursor), this.#options.wishes);
    } catch (thrown) {
      this.#send(header, this.#errnoOf('INIT', thrown));
      return;
    }
    if (result.outcome === 'refused') {
      this.#send(header, E.EPROTO);
      throw new Error(result.reason);
    }
    if (result.outcome === 'agreed') this.#connection = result.connection;
    this.#reply.bytes(encodeInit(this.#connection));
    this.#send(header, 0);
    if (result.outcome === 'agreed') this.#options.onReady(result.connection);
  }

  #send(header: RequestHeader, error: number): void {
    const length = this.#reply.finish(header.uniqueLow, header.uniqueHigh, error);
    const written = tryWrite(this.#fd, this.#reply.memory, length);
    if (written < 0) this.#notDelivered(written);
  }

  /** ENOENT: the caller was interrupted and nobody waits; anything else but the end of the mount is a bug. */
  #notDelivered(written: number): void {
    this.#takeBack();
    if (written === -E.ENOENT || OVER.has(written)) return;
    this.#log(`reply ${written}`, `the kernel refused a reply: ${errnoName(-written)}`);
  }

  #takeBack(): void {
    for (const node of this.#reply.handedOut) this.#filesystem.forget(node, 1);
    this.#reply.handedOut.length = 0;
  }

  #trace(header: RequestHeader, name: string, args: unknown, error: number): void {
    const shown = JSON.stringify(args, (_key, value) =>
      value?.type === 'Buffer' ? `${value.data.length} bytes` : value,
    );
    const result = error === 0 ? 'ok' : errnoName(error);
    report(`${name} node=${header.node} pid=${header.pid} ${shown ?? ''} = ${result}`);
  }

  /** Logs each kind of trouble once. */
  #log(key: string, text: string): void {
    if (this.#logged.has(key)) return;
    this.#logged.add(key);
    report(`unionfs: ${text}`);
  }
}
