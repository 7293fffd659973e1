/**
 * Names of entries: bytes from outside, one character each (latin1).
 *
 * Rules: a name is split into components before anything else happens to it. "." and empty components, and with them
 * a leading "/", mean nothing (as for docker and GNU tar); ".." is refused, even where it would stay inside. In messages a name is one
 * printable line, whatever it holds.
 */
import { UsageError } from '../../../fs/index.js';
import { cut, shownBytes } from '../../../fs/input/shown.js';
import { PATH_MAX } from '../../../fs/sys/constants.js';

/** A name in double quotes, which it cannot end; the middle is cut out of a long one. */
export const quote = (name: string): string => `"${cut(shownBytes(name.replace(/["\\]/g, '\\$&')))}"`;

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
