/** Digests: the names of content (descriptor.md, "Digests"). Stores keep what sha256 names. */

/** "sha256:" and 64 lower-case hexadecimal digits. */
export type Digest = `sha256:${string}`;

const DIGEST = /^sha256:[0-9a-f]{64}$/;

export const isDigest = (text: unknown): text is Digest => typeof text === 'string' && DIGEST.test(text);

/** The 64 hexadecimal digits of a digest. */
export const hexOf = (digest: Digest): string => digest.slice('sha256:'.length);
