/** Shortens IDs and text. */

const SHORT_DIGITS = 12;

/** The first digits of a digest, as docker shows IDs. */
export const shortDigest = (digest: string): string => {
  const hex = digest.replace(/^sha256:/, '');
  return hex.slice(0, SHORT_DIGITS);
};

/** At most `length` characters, on one line. */
export function truncate(text: string, length: number): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length <= length ? line : `${line.slice(0, length - 1)}…`;
}
