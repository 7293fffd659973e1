/**
 * JSON documents from outside: images, registries, users' directories, other mounts; and our own, which others may edit.
 *
 * Rules: a document enters here and nowhere else. Its size is bounded before it is read as text, its depth before it is
 * parsed, so that no later recursion meets more; then one schema gives the value with its type, or an error that names
 * the document and the field. Of equal names the last counts and unknown fields are left alone, as for Go's
 * encoding/json, which the other tools read the same documents with.
 */
import { UsageError } from '../sys/refusal.js';
import { type Schema, safeParse } from './schema.js';
import { quoted, shown } from './shown.js';

/** Registries refuse larger manifests (distribution specification, "Pushing Manifests"). */
export const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;
/** Arrays and objects inside each other. Documents of images have 6, configurations of bundles 7. */
export const MAX_DEPTH = 64;

/** What a schema refuses: a field's path, such as `config.Env[3]`, and why. */
export class DocumentError extends UsageError {}

/**
 * The checked value of a document. Throws `DocumentError`.
 * @param what names the document in messages, values in it quoted
 */
export function parseDocument<T>(schema: Schema<T>, bytes: Uint8Array, what: string): T {
  return checkDocument(schema, parseJson(bytes, what), what);
}

/** Any JSON within the bounds. Throws `DocumentError`. */
export function parseJson(bytes: Uint8Array, what: string, maxBytes = MAX_DOCUMENT_BYTES): unknown {
  if (bytes.length > maxBytes)
    throw new DocumentError(`${what} has ${bytes.length} bytes; at most ${maxBytes} are read`);
  if (isTooDeep(bytes)) throw new DocumentError(`${what} nests deeper than ${MAX_DEPTH} levels`);
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'));
  } catch {
    throw new DocumentError(`${what} is not JSON`);
  }
}

/** The same for a value that has been parsed. Throws `DocumentError`. */
export function checkDocument<T>(schema: Schema<T>, value: unknown, what: string): T {
  const result = safeParse(schema, value);
  if (result.success) return result.value;
  const { path, expected, received } = result;
  const field = path.length === 0 ? what : `${what}: "${pathOf(path)}"`;
  if (received === undefined) throw new DocumentError(`${field} is missing`);
  throw new DocumentError(`${field} must be ${expected}, not ${describe(received)}`);
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPENING = new Set([0x5b, 0x7b]);
const CLOSING = new Set([0x5d, 0x7d]);

/** Whether brackets outside of strings nest too deep; whether they match is JSON.parse's to say. */
function isTooDeep(bytes: Uint8Array): boolean {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if (inString) {
      if (byte === BACKSLASH) at++;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else if (OPENING.has(byte)) {
      if (++depth > MAX_DEPTH) return true;
    } else if (CLOSING.has(byte)) depth--;
  }
  return false;
}

/** `config.Env[3]`, `Labels["a b"]` */
function pathOf(path: readonly (string | number)[]): string {
  return path.reduce<string>((before, key) => {
    if (typeof key === 'number') return `${before}[${key}]`;
    if (!/^[\w-]+$/.test(key)) return `${before}[${quoted(key)}]`;
    return before === '' ? key : `${before}.${key}`;
  }, '');
}

function describe(value: unknown): string {
  if (typeof value === 'string') return quoted(value);
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' && value !== null ? 'an object' : shown(String(value));
}
