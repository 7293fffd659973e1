/**
 * Names of entries: bytes from outside, one character each (latin1).
 *
 * Rules: a name is first split into components. "." and empty components, and with them a leading "/", are ignored (as by
 * docker and GNU tar); ".." is refused, even if it would stay inside. In messages a name is one printable line.
 */
import { UsageError } from '../../../fs/index.js';
import { cut, shownBytes } from '../../../fs/input/shown.js';
import { PATH_MAX } from '../../../fs/sys/constants.js';

/** A name in double quotes, with quotes escaped; a long one is shortened in the middle. */
export const quote = (name: string): string => `"${cut(shownBytes(name.replace(/["\\]/g, '\\$&')))}"`;

/** The error about an entry. */
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
  if (parts.includes('..')) throw refusal(entry, `${what}contains ".."`);
  return parts;
}
