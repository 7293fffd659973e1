/**
 * Escapes text from outside for terminals, logs and errors.
 *
 * Rule: characters that control a terminal or the text direction, and invisible ones, are written as escapes: C0 and DEL
 * as \xHH; C1 (ECMA-48 knows U+009B as CSI), format characters (bidi controls, zero widths), separators of
 * lines and lone surrogates as \u{H}; a byte that is no UTF-8 as \xHH. The backslash itself is not escaped, so that ordinary
 * text is unchanged: this is for people, `--json` is for programs. Compare ls --escape and Trojan Source (CVE-2021-42574).
 */

import { toText } from '../sys/path-bytes.js';

const UNSHOWN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const UNSHOWN_IN_LINES = /(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const C1 = 0x80;

/** One line. */
export const shown = (text: string): string => text.replace(UNSHOWN, escapeCharacter);

/** The same for text of several lines, keeping line feeds and tabs. */
export const shownLines = (text: string): string => text.replace(UNSHOWN_IN_LINES, escapeCharacter);

function escapeCharacter(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (isRawByte(code)) return escapeByte(code - RAW_BYTE);
  return code < C1 ? escapeByte(code) : `\\u{${code.toString(16)}}`;
}

/** A byte that is not UTF-8, as text carries it (`fs/sys/path-bytes.ts`). */
const RAW_BYTE = 0xdc00;
const isRawByte = (code: number): boolean => code >= RAW_BYTE + C1 && code <= RAW_BYTE + 0xff;

const escapeByte = (byte: number): string => `\\x${byte.toString(16).padStart(2, '0')}`;

/** A name or path of bytes, one character each (latin1), as one line. */
export const shownBytes = (bytes: string): string => shown(toText(bytes));

/** Controls that JSON.stringify leaves as they are: DEL, C1 and format characters. */
const RAW_IN_JSON = /[\x7f-\x9f\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Equivalent JSON that is safe on a terminal. */
export const shownJson = (json: string): string =>
  json.replace(RAW_IN_JSON, (character) =>
    character
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  );

/** Characters of a value that are quoted in a message. */
const QUOTED = 200;

/** At most `length` characters, the middle cut out. */
export function cut(text: string, length = QUOTED): string {
  const half = Math.floor(length / 2);
  return text.length <= length ? text : `${text.slice(0, half)}...${text.slice(-half)}`;
}

/** The values that something may have, for a message: `"a", "b" or "c"`. */
export function alternatives(values: readonly string[]): string {
  const all = values.map((value) => `"${value}"`);
  return [all.slice(0, -1).join(', '), ...all.slice(-1)].filter((part) => part !== '').join(' or ');
}

/** A value in double quotes, for a message. */
export const quoted = (text: string): string => `"${cut(shown(cut(text, 4 * QUOTED)))}"`;
