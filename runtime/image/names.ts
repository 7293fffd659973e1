/**
 * Names of entries: bytes from outside, one character each (latin1).
 *
 * Rules: a name is split into components before anything else happens to it. "." and empty components, and with them
 * a leading "/", mean nothing (as for docker and GNU tar); ".." is refused, even where it would stay inside. In messages a name is one
 * printable line, whatever it holds.
 */
import { UsageError } from '../../fs/index.js';
import { PATH_MAX } from '../../fs/sys/constants.js';

const SHOWN = 200;
const utf8 = new TextDecoder('utf-8', { fatal: true });
/** Control characters, and those that turn the direction of text. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}"\\]/gu;

/** A name in double quotes: UTF-8 where it is that, other bytes and what does not print escaped, the middle cut out. */
export function quote(name: string): string {
  const text = decode(name).replace(UNPRINTABLE, escapeCharacter);
  const characters = [...text];
  if (characters.length <= SHOWN) return `"${text}"`;
  const half = SHOWN / 2;
  return `"${characters.slice(0, half).join('')}...${characters.slice(-half).join('')}"`;
}

function decode(name: string): string {
  try {
    return utf8.decode(Buffer.from(name, 'latin1'));
  } catch {
    return name.replace(/[\x80-\xff]/g, '?');
  }
}

function escapeCharacter(character: string): string {
  if (character === '"' || character === '\\') return `\\${character}`;
  const code = character.codePointAt(0) ?? 0;
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
}

/** The complaint about an entry. */
export const refusal = (name: string, reason: string): UsageError =>
  new UsageError(`the entry ${quote(name)} ${reason}`);

/**
 * The components of a name relative to the root; none for the root itself.
 * @param entry the entry's name, for the message
 * @throws UsageError for "..", NUL and what is longer than a path can be
 */
export function splitName(name: string, entry = name): string[] {
  const what = name === entry ? '' : `names ${quote(name)}, which `;
  if (name.includes('\0')) throw refusal(entry, `${what}contains a NUL byte`);
  if (name.length >= PATH_MAX) throw refusal(entry, `${what}is longer than ${PATH_MAX - 1} bytes`);
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw refusal(entry, `${what}leads out of its directory with ".."`);
  return parts;
}
