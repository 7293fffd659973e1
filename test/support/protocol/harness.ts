/**
 * A session without a kernel: its descriptor is a file, its filesystem a record of the calls it got.
 *
 * Rule: everything the session writes is kept, so "exactly one answer" and "no answer" can be told apart.
 */
import fs, { closeSync, fstatSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert } from 'chai';
import type { Filesystem } from '../../../fs/protocol/filesystem.js';
import { Session, type SessionOptions } from '../../../fs/transport/session.js';

export type Call = readonly [method: string, ...args: unknown[]];
export type Answers = Partial<Filesystem>;

const STDERR = 2;

/** Arguments as values: data dies with the message, room for data is told by its size, a sink is just there. */
function keep(method: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Uint8Array)
    return method === 'read' ? `${value.length} bytes of room` : Buffer.from(value);
  if ('add' in value) return 'sink';
  return 'pid' in value && 'uid' in value && 'gid' in value ? pick(value) : value;
}

/** The caller, which comes as a part of the request's header. */
const pick = ({ uid, gid, pid }: { uid: unknown; gid: unknown; pid: unknown }) => ({ uid, gid, pid });

/** A filesystem that records its calls; one it has no answer for is a failure of the session. */
export function recording(calls: Call[], answers: Answers): Filesystem {
  const method = (_target: object, name: string) => {
    return (...args: unknown[]): unknown => {
      calls.push([name, ...args.map((arg) => keep(name, arg))]);
      if (name === 'forget') return undefined;
      const answer = answers[name as keyof Filesystem] as ((...given: unknown[]) => unknown) | undefined;
      if (answer === undefined) throw new Error(`the filesystem has no answer to ${name}`);
      return answer(...args);
    };
  };
  return new Proxy({}, { get: method }) as Filesystem;
}

export interface Settings {
  readonly answers?: Answers;
  /** What the session reads and writes instead of a file of its own. */
  readonly fd?: number;
  /** The INIT message to begin with; without one the session is not connected. */
  readonly init?: Buffer;
  readonly options?: Partial<SessionOptions>;
}

export class Harness {
  readonly calls: Call[] = [];
  readonly session: Session;
  ready = 0;
  readonly #fd: number;
  #read = 0;

  constructor({ answers = {}, fd, init, options = {} }: Settings = {}) {
    this.#fd = fd ?? temporaryFile();
    this.session = new Session(this.#fd, recording(this.calls, answers), {
      wishes: { writeback: false, invalidation: 'explicit', acl: true, maxWrite: 16384, pageSize: 4096 },
      trace: false,
      onReady: () => this.ready++,
      flusher: { flush: () => assert.fail('nothing is to be flushed') },
      background: { fds: [], run: () => 'done' },
      ...options,
    });
    if (init !== undefined) this.ask(init);
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** Serves a message; what the session has written for it, as one message each. */
  ask(message: Buffer, length = message.length, stale = 0): Buffer[] {
    this.session.input.fill(stale);
    message.copy(this.session.input, 0, 0, length);
    this.session.serve(length);
    return this.written();
  }

  /** As `ask`, for a message that must get exactly one answer. */
  answer(message: Buffer): Buffer {
    const [first, ...more] = this.ask(message);
    if (first === undefined || more.length > 0) throw new Error(`${more.length + (first ? 1 : 0)} answers`);
    return first;
  }

  /** What the session has written since the last look, where its descriptor is a file. */
  written(): Buffer[] {
    const stat = fstatSync(this.#fd);
    if (!stat.isFile()) return [];
    const { size } = stat;
    const bytes = Buffer.alloc(size - this.#read);
    readSync(this.#fd, bytes, 0, bytes.length, this.#read);
    this.#read = size;
    return messages(bytes);
  }
}

/** Splits what was written at the lengths that the messages claim to have. */
function messages(bytes: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    if (length < 16 || at + length > bytes.length) throw new Error(`a message claims ${length} bytes`);
    found.push(bytes.subarray(at, at + length));
    at += length;
  }
  return found;
}

/** A file that is gone with its descriptor. */
export function temporaryFile(content: Buffer = Buffer.alloc(0)): number {
  const directory = mkdtempSync(join(tmpdir(), 'unionfs-session-'));
  const fd = openSync(join(directory, 'device'), 'wx+');
  rmSync(directory, { recursive: true });
  fs.writeSync(fd, content, 0, content.length, 0);
  return fd;
}

/** What `action` writes to standard error, which stays quiet. */
export function standardError(action: () => void): string {
  let text = '';
  const { writeSync } = fs;
  fs.writeSync = ((fd: number, ...rest: [string]) => {
    if (fd !== STDERR) return (writeSync as (...args: unknown[]) => number)(fd, ...rest);
    text += rest[0];
    return rest[0].length;
  }) as typeof writeSync;
  syncBuiltinESMExports();
  try {
    action();
  } finally {
    fs.writeSync = writeSync;
    syncBuiltinESMExports();
  }
  return text;
}
