/**
 * Names of images: [DOMAIN/]PATH[:TAG][@DIGEST].
 *
 * Rule: a name is stored in full ("docker.io/library/debian:12") and shown in its shortest form
 * ("debian:12"). Compare the grammar and ParseNormalizedNamed in github.com/distribution/reference.
 */
import { UsageError } from '../../fs/index.js';
import { quoted } from '../../fs/input/shown.js';
import { type Digest, isDigest } from './digest.js';

export { hexOf, isDigest } from './digest.js';

export interface Reference {
  /** Host and port of the registry. */
  readonly domain: string;
  /** The repository's path in it. */
  readonly path: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

export const DEFAULT_TAG = 'latest';
const DEFAULT_DOMAIN = 'docker.io';
const LEGACY_DOMAIN = 'index.docker.io';
const OFFICIAL = 'library/';
const NAME_LENGTH_MAX = 255;

const LABEL = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const DOMAIN = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`);
const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const PATH = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`);
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const IDENTIFIER = /^[0-9a-f]{64}$/;

/** Parses a name; default domain and path are added, but no default tag. Throws `UsageError`. */
export function parseReference(text: string): Reference {
  const [named, digest] = splitOnce(text, text.indexOf('@'));
  const [name, tag] = splitOnce(named, tagColon(named));
  if (IDENTIFIER.test(name)) throw invalid(text, '64 hexadecimal digits are an image ID, not a name');
  const { domain, path } = splitDomain(name);
  if (path === '') throw invalid(text, 'the name is empty');
  if (path !== path.toLowerCase()) throw invalid(text, 'use lower case for the repository');
  if (!DOMAIN.test(domain)) throw invalid(text, `${quoted(domain)} is not a valid host name`);
  if (!PATH.test(path)) throw invalid(text, `${quoted(path)} is not a valid repository`);
  if (tag !== undefined && !TAG.test(tag)) throw invalid(text, `${quoted(tag)} is not a valid tag`);
  if (digest !== undefined && !isDigest(digest))
    throw invalid(text, `${quoted(digest)} is not a sha256 digest`);
  if (`${domain}/${path}`.length > NAME_LENGTH_MAX)
    throw invalid(text, `it has more than ${NAME_LENGTH_MAX} characters`);
  return { domain, path, ...(tag !== undefined && { tag }), ...(digest !== undefined && { digest }) };
}

/** Parses a new name for an image: with a tag, "latest" by default, and without a digest. Throws `UsageError`. */
export function parseTag(text: string): Reference {
  const reference = parseReference(text);
  if (reference.digest !== undefined) throw invalid(text, 'a tag must not contain a digest');
  return withDefaultTag(reference);
}

export function withDefaultTag(reference: Reference): Reference {
  return reference.tag === undefined && reference.digest === undefined
    ? { ...reference, tag: DEFAULT_TAG }
    : reference;
}

/** The full form, which is stored. */
export const formatReference = (reference: Reference): string =>
  `${repositoryOf(reference)}${suffixOf(reference)}`;

/** "docker.io/library/debian" */
export const repositoryOf = ({ domain, path }: Reference): string => `${domain}/${path}`;

/** The shortest form that means the same repository: "debian". */
export function familiarRepository({ domain, path }: Reference): string {
  if (domain !== DEFAULT_DOMAIN) return `${domain}/${path}`;
  const short = path.startsWith(OFFICIAL) ? path.slice(OFFICIAL.length) : path;
  return short.includes('/') ? path : short;
}

/** A stored name as users see it: "debian:12". */
export function familiar(full: string): string {
  const reference = parseReference(full);
  return `${familiarRepository(reference)}${suffixOf(reference)}`;
}

const suffixOf = ({ tag, digest }: Reference): string =>
  `${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;

function invalid(text: string, why: string): UsageError {
  return new UsageError(`invalid image name ${quoted(text)}: ${why}`);
}

function splitOnce(text: string, at: number): [string, string | undefined] {
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

/** Where the tag begins: a colon after the last slash; one before it belongs to a port. */
function tagColon(named: string): number {
  const colon = named.lastIndexOf(':');
  return colon > named.lastIndexOf('/') ? colon : -1;
}

/** The first component is a host if it has a dot, a colon or a capital, or is "localhost". */
function splitDomain(name: string): { domain: string; path: string } {
  const [first, rest] = splitOnce(name, name.indexOf('/'));
  const isHost = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase();
  if (rest !== undefined && isHost) {
    const domain = first === LEGACY_DOMAIN ? DEFAULT_DOMAIN : first;
    return { domain, path: domain === DEFAULT_DOMAIN ? official(rest) : rest };
  }
  return { domain: DEFAULT_DOMAIN, path: official(name) };
}

const official = (path: string): string => (path === '' || path.includes('/') ? path : OFFICIAL + path);
