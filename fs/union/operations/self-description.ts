/**
 * What a live mount tells about itself: JSON in xattrs of its root that no list shows.
 *
 * Rule: the mount itself is asked, not a state file that could outlive it. The text comes in chunks,
 * `system.unionfs.inspect.0` and on, because an xattr holds 64 KiB and a stack may have a thousand layers. Chunk 0
 * takes a fresh picture. Who answers may be anybody's server: what it says is bounded, and checked by who asked.
 */
import { MAX_DOCUMENT_BYTES, parseJson } from '../../input/document.js';
import { getxattrat } from '../../sys/syscalls.js';

const ATTRIBUTE = 'system.unionfs.inspect.';
const NUMBER = /^\d{1,9}$/;
const CHUNK = 60_000;

let picture = Buffer.alloc(0);

/** The chunk that `attribute` names; undefined if it names none. An empty chunk ends the text. */
export function inspectChunk(attribute: string, describe: () => unknown): Buffer | undefined {
  if (!attribute.startsWith(ATTRIBUTE) || !NUMBER.test(attribute.slice(ATTRIBUTE.length))) return undefined;
  const index = Number(attribute.slice(ATTRIBUTE.length));
  if (index === 0) picture = Buffer.from(JSON.stringify(describe()));
  return picture.subarray(index * CHUNK, (index + 1) * CHUNK);
}

/** A thousand layers, each with the longest path. */
const MAX_BYTES = 4 * MAX_DOCUMENT_BYTES;

/** Queries the mount whose root is open at `fd`; undefined if it is not served by unionfs. Throws `DocumentError`. */
export function readInspection(fd: number): unknown {
  const chunks: Buffer[] = [];
  for (let index = 0; index <= MAX_BYTES / CHUNK; index++) {
    const chunk = getxattrat(fd, '', ATTRIBUTE + index);
    if (chunk === undefined) return undefined;
    if (chunk.length === 0) break;
    chunks.push(Buffer.from(chunk));
  }
  return parseJson(Buffer.concat(chunks), 'what the mount tells', MAX_BYTES);
}
