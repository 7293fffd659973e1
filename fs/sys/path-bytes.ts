/**
 * Converts arguments, names and paths between the kernel's bytes and Node's text.
 *
 * Rule: the conversion is lossless. A byte that is not part of a UTF-8 sequence is represented as a lone surrogate, U+DC80
 * to U+DCFF, and becomes that byte again (PEP 383, "surrogateescape"). `sys` takes bytes, one a character (latin1). Node
 * itself would write U+FFFD for a lone surrogate, so paths for Node go through `forNode`.
 */

const ESCAPED = 0xdc00;
const LONE = /\p{Cs}/u;
/** A lone surrogate that stands for a byte. */
const RAW_BYTE = /[\udc80-\udcff]/u;
const PIECES = /([\udc80-\udcff])|([^\udc80-\udcff]+)/gu;

/** Whether text holds bytes that are not UTF-8. */
export const holdsRawBytes = (text: string): boolean => LONE.test(text) && RAW_BYTE.test(text);

/** Text as bytes, one a character. */
export function toBytes(text: string): string {
  if (!holdsRawBytes(text)) return Buffer.from(text).toString('latin1');
  return text.replace(PIECES, (_, raw?: string, other?: string) =>
    raw === undefined
      ? Buffer.from(other ?? '').toString('latin1')
      : String.fromCharCode(raw.charCodeAt(0) - ESCAPED),
  );
}

/** Well-formed sequences of more than one byte (RFC 3629, section 4), and every byte that is in none. */
const SEQUENCES =
  /[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}|[\x80-\xff]/g;

/** Bytes, one a character, as text. */
export const toText = (bytes: string): string =>
  bytes.replace(SEQUENCES, (sequence) =>
    sequence.length > 1
      ? Buffer.from(sequence, 'latin1').toString()
      : String.fromCharCode(ESCAPED + sequence.charCodeAt(0)),
  );

/** A path as Node's own functions take it. */
export const forNode = (path: string): string | Buffer =>
  holdsRawBytes(path) ? Buffer.from(toBytes(path), 'latin1') : path;

/** Where the first byte is that is not UTF-8, counted in bytes from 0; undefined if all are. */
export function rawByteOffset(text: string): number | undefined {
  if (!holdsRawBytes(text)) return undefined;
  return Buffer.byteLength(text.slice(0, text.search(RAW_BYTE)));
}

/** The first byte that is not UTF-8, as a person reads it. */
export const rawByteIn = (text: string): string =>
  `\\x${((RAW_BYTE.exec(text)?.[0] ?? '').charCodeAt(0) - ESCAPED).toString(16)}`;

/** NUL-terminated words, as /proc/PID/cmdline and /proc/PID/environ hold them, as text. */
export const wordsOf = (bytes: string): string[] => bytes.split('\0').slice(0, -1).map(toText);
