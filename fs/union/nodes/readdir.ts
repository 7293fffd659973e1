/**
 * Merged directory listings.
 *
 * Rule: each name once, from the topmost layer that holds it, unless a layer above deletes it; the order is that of
 * the names' cookies. Compare ovl_dir_read_merged in fs/overlayfs/readdir.c.
 */
import type { DirectoryPlusSink, DirectorySink, Entry } from '../../protocol/filesystem.js';
import { S } from '../../sys/constants.js';
import { Errno } from '../../sys/errno.js';
import { type DirectoryEntry, statat } from '../../sys/syscalls.js';
import type { LayerDirectory } from '../layers/layer.js';
import { isImpure } from '../layers/origin.js';
import { classify, DOT_OPAQUE, DOT_WHITEOUT, isDotName } from '../layers/whiteout.js';
import { rewriteDotNames } from './dot-names.js';
import { type ListedName, Listing } from './listing.js';
import { depth, entryOf, find } from './lookup.js';
import type { DirectoryNode } from './node.js';
import type { Union } from './union.js';

/** The names of a directory as they are now. */
export function listingOf(union: Union, node: DirectoryNode): Listing {
  union.watcher?.watch(node);
  const known = node.listing;
  if (known !== undefined && !known.stale && union.trust.holds(node)) return known;
  const fresh = mergeNames(union, node.layers);
  const listing = known ?? new Listing();
  for (const { name } of [...listing.names()]) if (!fresh.has(name)) listing.remove(name);
  for (const [name, { type, ino, skip }] of fresh) listing.add(name, type, ino, skip);
  listing.stale = false;
  node.listing = listing;
  union.population.listed(node, listing.size);
  return listing;
}

/** Whether the merged directory shows no entries. */
export function isEmpty(union: Union, node: DirectoryNode): boolean {
  return node.removed || listingOf(union, node).size === 0;
}

interface Merged extends Pick<ListedName, 'type' | 'ino' | 'skip'> {}

function mergeNames(union: Union, directories: readonly LayerDirectory[]): Map<string, Merged> {
  const shown = new Map<string, Merged>();
  const hidden = new Set<string>();
  directories.forEach((directory, skip) => {
    const dirfd = union.handles.directory(directory);
    const hides: string[] = [];
    const somethingBelow = skip + 1 < directories.length;
    if (directory.layer.isUpper) rewriteDotNames(union, directory);
    for (const entry of union.handles.names(directory)) {
      const { name } = entry;
      if (isDotName(name)) {
        if (name !== DOT_OPAQUE) hides.push(name.slice(DOT_WHITEOUT.length));
        continue;
      }
      if (hidden.has(name) || shown.has(name)) continue;
      if (isWhiteout(union, directory, dirfd, entry, somethingBelow)) hidden.add(name);
      else shown.set(name, { type: entry.type, ino: union.inodes.of(directory.layer.dev, entry.ino), skip });
    }
    for (const name of hides) if (!shown.has(name)) hidden.add(name);
  });
  return shown;
}

/** Only these types can be whiteouts; 0 means that the filesystem does not tell the type. */
const maybeDevice = (type: number): boolean => type === S.IFCHR || type === 0;

function isWhiteout(
  union: Union,
  directory: LayerDirectory,
  dirfd: number,
  entry: DirectoryEntry,
  somethingBelow: boolean,
): boolean {
  const maybeXattr = entry.type === S.IFREG && directory.layer.hasXattrWhiteouts;
  if (!maybeDevice(entry.type) && !maybeXattr) return false;
  const stat = statat(dirfd, entry.name);
  if (stat === undefined) return true;
  const below = depth(union, directory, somethingBelow);
  return classify(directory, dirfd, entry.name, stat, below).is === 'whiteout';
}

const DOT_COOKIE = 1;
const DOT_DOT_COOKIE = 2;

/** "." and "..", which no layer is asked for. */
function* dots(
  node: DirectoryNode,
  cookie: number,
): Generator<[name: string, node: DirectoryNode, cookie: number]> {
  if (cookie < DOT_COOKIE) yield ['.', node, DOT_COOKIE];
  if (cookie < DOT_DOT_COOKIE) yield ['..', node.parent ?? node, DOT_DOT_COOKIE];
}

/** FUSE_READDIR. */
export function readdir(union: Union, node: DirectoryNode, cookie: number, sink: DirectorySink): void {
  for (const [name, target, own] of dots(node, cookie)) {
    if (!sink.add(name, target.ino, S.IFDIR, own)) return;
  }
  if (node.removed) return;
  let isEnd = true;
  for (const listed of entriesAfter(union, node, cookie)) {
    isEnd = false;
    const number = inodeNumber(union, node, listed);
    if (!sink.add(listed.name, number, shownType(union, listed), listed.cookie)) return;
  }
  if (isEnd) afterListing(union, node);
}

/**
 * The kernel keeps a listing that it has read to its end until the directory's attributes change, and with explicit
 * invalidation it does not ask for these: where nothing reports changes it must not keep any.
 */
function afterListing(union: Union, node: DirectoryNode): void {
  if (union.watcher !== undefined && !union.trust.holds(node)) union.watcher.forgetInode(node);
}

/** FUSE_READDIRPLUS. */
export function readdirplus(
  union: Union,
  node: DirectoryNode,
  cookie: number,
  sink: DirectoryPlusSink,
): void {
  for (const [name, target, own] of dots(node, cookie)) {
    if (!sink.add(name, target.ino, S.IFDIR, own, undefined)) return;
  }
  if (node.removed) return;
  let isEnd = true;
  for (const listed of entriesAfter(union, node, cookie)) {
    isEnd = false;
    const resolve = (): Entry | undefined =>
      orNothing(() => {
        const found = find(union, node, listed.name, listed.skip);
        return found && entryOf(union, node, found.node, found.stat);
      });
    if (!sink.add(listed.name, listed.ino, shownType(union, listed), listed.cookie, resolve)) return;
  }
  if (isEnd) afterListing(union, node);
}

/** What a listing says; 0 if stat(2) must be asked, because a regular file may be recorded as something else. */
const shownType = (union: Union, { type }: ListedName): number =>
  union.keepsTypes && type === S.IFREG ? 0 : type;

/** An entry whose lookup fails is listed anyway; accessing it gives the error. */
function orNothing<T>(attempt: () => T): T | undefined {
  try {
    return attempt();
  } catch (error) {
    if (error instanceof Errno) return undefined;
    throw error;
  }
}

/** A listing is merged when reading starts, and then reused until its end. */
function entriesAfter(union: Union, node: DirectoryNode, cookie: number): Generator<ListedName> {
  const listing = cookie === 0 || node.listing === undefined ? listingOf(union, node) : node.listing;
  return listing.after(cookie);
}

/** The number that stat(2) shows; of merged directories and of copies, upper's own listing does not have it. */
function inodeNumber(union: Union, parent: DirectoryNode, listed: ListedName): ListedName['ino'] {
  const known = parent.children.get(listed.name);
  if (known !== undefined) return known.ino;
  const merges = listed.type === S.IFDIR && parent.layers.length > 1;
  if (!merges && !(listed.skip === 0 && holdsCopies(union, parent.upper))) return listed.ino;
  const found = orNothing(() => find(union, parent, listed.name, listed.skip));
  if (found === undefined) return listed.ino;
  const { ino } = found.node;
  if (found.node.lookups === 0) union.nodes.drop(found.node);
  return ino;
}

function holdsCopies(union: Union, directory: LayerDirectory | undefined): boolean {
  if (directory === undefined || union.work === undefined) return false;
  return isImpure(union.work.xattrPrefix, directory, union.handles.directory(directory));
}
