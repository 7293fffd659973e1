/**
 * JSON documents from outside: images, registries, users' directories, other mounts; and our own, which others may edit.
 *
 * Rules: documents are read only here. Size is checked before decoding, nesting depth before parsing, so that recursion is
 * bounded; then a schema gives the typed value, or an error with the document and the field. Of duplicate names the last
 * one is used, and unknown fields are kept, as by Go's encoding/json, with which other tools read the same documents.
 */
import { UsageError } from '../sys/refusal.js';
import { type Schema, safeParse } from './schema.js';
import { quoted, shown } from './shown.js';

/** Registries refuse larger manifests (distribution specification, "Pushing Manifests"). */
export const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;
/** Maximum nesting of arrays and objects; documents of images have 6 levels, config.json 7. */
export const MAX_DEPTH = 64;

/** A document that a schema refuses; the message has the field's path, such as `config.Env[3]`, and the reason. */
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
    throw new DocumentError(`${what} has ${bytes.length} bytes; the limit is ${maxBytes}`);
  if (isTooDeep(bytes)) throw new DocumentError(`${what} is nested deeper than ${MAX_DEPTH} levels`);
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'));
  } catch {
    throw new DocumentError(`${what} is not valid JSON`);
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

/** Whether brackets outside strings are nested too deeply; JSON.parse checks whether they match. */
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
